"""The live status line of a running graph, and a summary table whenever a run ends.

subscribes: system/state, task/state, arm/state, action_expert/chunk
calls:      run_insertion's get_result, for the table
"""

import signal
import sys
import threading

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from insertion_vla import qos
from insertion_vla.live_line import LiveLine
from insertion_vla.run_view import RunView
from insertion_vla.summary import result_rows, table
from insertion_vla_interfaces.action import RunInsertion
from insertion_vla_interfaces.msg import ActionChunk, ArmState, SystemState, TaskState

REFRESH_S = 0.2
ENDED = (TaskState.SUCCEEDED, TaskState.FAILED)


def watch(node: Node, view: RunView) -> None:
    """Subscribes the view to the graph."""
    node.create_subscription(SystemState, "system/state", view.on_system, qos.SYSTEM)
    node.create_subscription(TaskState, "task/state", view.on_task, qos.STATE)
    node.create_subscription(ArmState, "arm/state", view.on_arm, qos.STATE)
    node.create_subscription(ActionChunk, "action_expert/chunk", view.on_chunk, qos.STATE)


class Status(Node):
    """Shows the line; asks the task for the result when a goal that it saw has ended."""

    def __init__(self, **kwargs) -> None:
        super().__init__("status", **kwargs)
        self.line = LiveLine()
        self._view = RunView()
        self._goal_id = ""
        watch(self, self._view)
        self.create_subscription(TaskState, "task/state", self._on_task, qos.STATE)
        self._result = self.create_client(RunInsertion.Impl.GetResultService, "run_insertion/_action/get_result")
        self.create_timer(REFRESH_S, self._show, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _show(self) -> None:
        self.line.show(self._view.line(self.get_clock().now().nanoseconds), self._view.key())

    def _on_task(self, message: TaskState) -> None:
        if message.goal_id:
            self._goal_id = message.goal_id
        elif self._goal_id and message.phase in ENDED:
            request = RunInsertion.Impl.GetResultService.Request()
            request.goal_id.uuid = list(bytes.fromhex(self._goal_id))
            self._goal_id = ""
            if self._result.service_is_ready():
                self._result.call_async(request).add_done_callback(self._on_result)

    def _on_result(self, future: Future) -> None:
        answer = future.result()
        if answer is not None:
            self.line.print(table("Run", result_rows(answer.result)))


def main() -> int:
    """Runs until SIGINT or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Status()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not ended.is_set():
        executor.spin_once(timeout_sec=REFRESH_S)
    node.line.close()
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
