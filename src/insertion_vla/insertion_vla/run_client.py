"""A client that waits for the system, runs goals and keeps the view of what is going on meanwhile."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla.live_line import LiveLine
from insertion_vla.run_view import RunView
from insertion_vla.status import REFRESH_S, watch
from insertion_vla_interfaces.action import RunInsertion
from insertion_vla_interfaces.msg import ArmState, SystemState, TaskState

ANSWER_TIMEOUT_S = 10.0
SILENCE_S = 5.0
GRACE_S = 15.0  # on top of a goal's own time limit


class RunError(Exception):
    """The run cannot go on; the sentence says why."""


class Interrupted(Exception):
    """A person stopped the run."""


class RunClient:
    """One node, spun by the caller's thread while it waits."""

    def __init__(self, name: str, line: LiveLine, trouble: Callable[[], str], interrupted: threading.Event) -> None:
        """Joins the graph.

        Args:
            name: Node name.
            line: Where the live line is shown.
            trouble: Why the graph is gone, "" while it runs.
            interrupted: Set when a person wants to stop.
        """
        # Its own arguments are name:=value, which would be remap rules.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(name)
        self.view = RunView()
        self.first_motion_s = math.nan  # time.monotonic of the first MOVING
        self._line, self._trouble, self._interrupted = line, trouble, interrupted
        watch(self.node, self.view)
        self._task_s = 0.0
        self.node.create_subscription(ArmState, "arm/state", self._on_arm, qos.STATE)
        self.node.create_subscription(TaskState, "task/state", self._on_task, qos.STATE)
        self._action = ActionClient(self.node, RunInsertion, "run_insertion")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def wait_active(self, timeout_s: float) -> None:
        """Waits for system/state ACTIVE with a progress line; raises RunError with the reason when it does not come."""
        started_s = time.monotonic()

        def show() -> None:
            waited_s = time.monotonic() - started_s
            self._line.show(f"starting, {waited_s:.0f} s | {self.view.line(0)}", self.view.key())

        if not self._spin(self._settled, timeout_s, show):
            raise RunError(f"the system is not ACTIVE after {timeout_s:g} s: {self._system_words()}")
        if self.view.system is None or self.view.system.state != SystemState.ACTIVE:
            raise RunError(f"the system did not come up: {self._system_words()}")

    def run(self, instruction: str, timeout_s: float) -> RunInsertion.Result:
        """Runs one goal with the live line; an interruption cancels it first."""
        handle = self._wait(self._action.send_goal_async(RunInsertion.Goal(instruction=instruction, timeout=timeout_s)))
        if not handle.accepted:
            raise RunError("the task node refused the goal: it is not active")
        future = handle.get_result_async()
        limit_s = (timeout_s or 600.0) + GRACE_S
        try:
            self._task_s = time.monotonic()
            if not self._spin(lambda: future.done() or self._task_silent(), limit_s, self._show):
                raise RunError(f"no result within {limit_s:g} s")
            if not future.done():
                raise RunError(f"the task node has not been heard for {SILENCE_S:g} s: {self._system_words()}")
        except Interrupted:
            self._interrupted.clear()
            self._wait(handle.cancel_goal_async())
            self._spin(future.done, ANSWER_TIMEOUT_S, self._show)
            raise
        answer = future.result()
        if answer.status == GoalStatus.STATUS_UNKNOWN:
            raise RunError("the task node does not know the goal any more: it was restarted")
        return answer.result

    def trigger(self, service: str) -> Trigger.Response:
        """Calls a Trigger service."""
        return self.call(Trigger, service, Trigger.Request())

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """Calls a service of a kind; raises RunError when it is not there or does not answer."""
        client = self.node.create_client(kind, service)
        try:
            if not self._spin(client.service_is_ready, ANSWER_TIMEOUT_S):
                raise RunError(f"{service} is not there")
            return self._wait(client.call_async(request), 60.0)
        finally:
            self.node.destroy_client(client)

    def wait(self, seconds: float) -> None:
        """Lets the graph go on for a while."""
        self._spin(lambda: False, seconds)

    def wait_arm(self, states: tuple[int, ...], timeout_s: float) -> bool:
        """Waits for an arm/state that arrives from now on and is one of the given states."""
        old = self.view.arm
        return self._spin(
            lambda: self.view.arm is not None and self.view.arm is not old and self.view.arm.state in states, timeout_s
        )

    def close(self) -> None:
        """Leaves the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _on_arm(self, message: ArmState) -> None:
        if math.isnan(self.first_motion_s) and message.state in (ArmState.MOVING, ArmState.SLOWED):
            self.first_motion_s = time.monotonic()

    def _on_task(self, _: TaskState) -> None:
        self._task_s = time.monotonic()

    def _task_silent(self) -> bool:
        return time.monotonic() - self._task_s > SILENCE_S

    def _settled(self) -> bool:
        """The bring-up has failed, or it is complete and the task can be asked."""
        state = self.view.system.state if self.view.system is not None else None
        return state == SystemState.DEGRADED or (state == SystemState.ACTIVE and self._action.server_is_ready())

    def _system_words(self) -> str:
        return self.view.system.reason if self.view.system else "no word from the lifecycle manager"

    def _show(self) -> None:
        self._line.show(self.view.line(self.node.get_clock().now().nanoseconds), self.view.key())

    def _wait(self, future: Future, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        if not self._spin(future.done, timeout_s):
            raise RunError(f"no answer within {timeout_s:g} s")
        return future.result()

    def _spin(self, done: Callable[[], bool], timeout_s: float, show: Callable[[], None] | None = None) -> bool:
        deadline_s = time.monotonic() + timeout_s
        shown_s = -math.inf
        while not done():
            now_s = time.monotonic()
            if now_s > deadline_s:
                return False
            if self._interrupted.is_set():
                raise Interrupted
            if why := self._trouble():
                raise RunError(why)
            if show is not None and now_s - shown_s >= REFRESH_S:
                show()
                shown_s = now_s
            self._executor.spin_once(timeout_sec=0.1)
        return True
