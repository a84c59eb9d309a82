"""The insertion task: one goal at a time, its phases, the heartbeat that permits motion, and the judgement of success.

subscribes: system/state, arm/state, tool_pose, force/samples, action_expert/chunk
publishes:  task/state at 20 Hz: permit is true only while a goal runs and the system is ACTIVE
action:     run_insertion. A goal that cannot run is aborted at once with the reason in its result
calls:      force_sensor/tare before motion is permitted; arm/retract after the goal if auto_retract
parameters: see Parameters
on failure: any fault of the arm or the system ends the goal with its cause; a dead task node is a missing heartbeat,
            and the arm holds
"""

import math
import sys
import time
from collections import deque
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from geometry_msgs.msg import PoseStamped
from insertion_vla_core.aline import surface_distance
from pydantic import Field
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock, ClockType
from rclpy.task import Future
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla.instruction import Refused
from insertion_vla.listener import Heard, Listener
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.messages import ns_from_time, pose_from_message
from insertion_vla.parameters import ParameterModel
from insertion_vla.run_metrics import RunMetrics
from insertion_vla.task_logic import Outcome, TaskLogic, TaskSettings
from insertion_vla_interfaces.action import RunInsertion
from insertion_vla_interfaces.msg import ActionChunk, ArmState, ForceSamples, SystemState, TaskState
from insertion_vla_interfaces.srv import Retract

HEARTBEAT_S = 0.05
FEEDBACK_EVERY = 2  # heartbeats
TARE_EVERY = 4  # heartbeats


class Parameters(TaskSettings, ParameterModel):
    """Parameters of the task node: what counts as an insertion (TaskSettings), and what happens around it."""

    tare_timeout_s: float = Field(default=3.0, gt=0, le=60, description="[s] wait for a tare of the force sensor")
    auto_retract: bool = Field(default=False, description="pull the needle back when a goal ends")
    auto_retract_distance_m: float = Field(default=0.03, ge=0.001, le=0.1, description="[m] how far")


class Task(ManagedNode):
    """Wires the state table of task_logic to the graph.

    Everything runs in the executor's thread; only tool pose and force, which come 165 times a second, are kept by a
    listener until the next heartbeat or chunk.
    """

    NAME = "task"
    Parameters = Parameters

    def setup(self) -> None:
        """Creates the heartbeat's publisher and the action server, which refuses goals until the node is active."""
        self._logic = TaskLogic(self.params)
        self._handle: ServerGoalHandle | None = None
        self._ended: Future | None = None
        self._metrics = RunMetrics()
        self._tare_deadline_s: float | None = None  # while a goal waits for the tare
        self._tare_asked = False
        self._tare_refusal = ""
        self._arm: ArmState | None = None
        self._beats = 0
        self._listener: Listener | None = None
        self._publisher = self.create_publisher(TaskState, "task/state", qos.STATE)
        self._tare = self.create_client(Trigger, "force_sensor/tare")
        self._retract = self.create_client(Retract, "arm/retract")
        self._server = ActionServer(
            self,
            RunInsertion,
            "run_insertion",
            self._run,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )

    def start(self) -> None:
        """Subscribes and starts the heartbeat."""
        self.create_subscription(SystemState, "system/state", self._on_system, qos.SYSTEM)
        self.create_subscription(ArmState, "arm/state", self._on_arm, qos.STATE)
        self._heard_pose: PoseStamped | None = None
        self._heard_force: deque[tuple[ForceSamples, float]] = deque(maxlen=qos.SAMPLES.depth)
        heard = [
            Heard(PoseStamped, "tool_pose", self._hear_pose, qos.ROBOT),
            Heard(ForceSamples, "force/samples", self._hear_force, qos.SAMPLES),
        ]
        self._listener = Listener(self, "heard", heard, lambda error: self.get_logger().error(f"listener: {error}"))
        self.create_subscription(ActionChunk, "action_expert/chunk", self._on_chunk, qos.STATE)
        self.create_timer(HEARTBEAT_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def stop(self) -> None:
        """Ends the running goal; the last heartbeat forbids motion."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._logic.system(False, False, "the task node was deactivated", time.monotonic())
        self._settle()
        self._publish(time.monotonic())

    def teardown(self) -> None:
        """Closes the action server."""
        server = getattr(self, "_server", None)
        if server is not None:
            server.destroy()
            self._server = None

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        """Reports phase and status."""
        stat.summary(DiagnosticStatus.OK, f"{self._logic.shown_phase.name}: {self._logic.status}")
        stat.add("permit", str(self._logic.permit))
        stat.add("chunks", str(self._metrics.chunks))

    # Action server.

    def _on_goal(self, _: RunInsertion.Goal) -> GoalResponse:
        # A rejection has no room for a sentence: an active node accepts, and aborts with the reason in the result.
        return GoalResponse.ACCEPT if self.phase == "active" else GoalResponse.REJECT

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        now_s = time.monotonic()
        goal_id = _goal_id(handle)
        try:
            self._logic.accept(goal_id, handle.request.instruction, handle.request.timeout, now_s)
        except Refused as refusal:
            self.get_logger().warning(f"goal refused: {refusal}")
            handle.execute(partial(_refuse, str(refusal)))
            return
        self._handle, self._ended = handle, Future(executor=self.executor)
        self._metrics = RunMetrics()
        if self._arm is not None:
            self._metrics.arm(self._arm.chunks_rejected)
        self.get_logger().info(f"goal accepted: {handle.request.instruction}")
        handle.execute()
        self._tare_deadline_s = now_s + self.params.tare_timeout_s
        self._tare_refusal = "force_sensor/tare did not answer"
        self._ask_tare()
        self._settle()

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        if not self._logic.fail(_goal_id(handle), "cancelled by the client", time.monotonic()):
            return CancelResponse.REJECT
        self._settle()
        return CancelResponse.ACCEPT

    async def _run(self, handle: ServerGoalHandle) -> RunInsertion.Result:
        assert self._ended is not None
        outcome: Outcome = await self._ended
        if handle.is_cancel_requested:
            handle.canceled()
        elif outcome.success:
            handle.succeed()
        else:
            handle.abort()
        metrics = self._metrics
        return RunInsertion.Result(
            success=outcome.success,
            reason=outcome.reason,
            duration=outcome.duration_s,
            depth=outcome.depth_m,
            final_force=metrics.final_force_n,
            peak_force=metrics.peak_force_n,
            action_rate=metrics.action_rate_hz,
            action_interval_p99=metrics.action_interval_p99_s,
            features_age_p99=metrics.features_age_p99_s,
            chunks=metrics.chunks,
            rejected_chunks=metrics.rejected_chunks,
        )

    def _ask_tare(self) -> None:
        """Asks for the tare of the running goal; a refusal is asked again at the next heartbeats until the deadline."""
        assert self._logic.goal is not None
        goal_id = self._logic.goal.goal_id
        self._tare_asked = True
        if self._tare.service_is_ready():
            self._tare.call_async(Trigger.Request()).add_done_callback(partial(self._on_tared, goal_id))
        else:
            self._tare_refusal, self._tare_asked = "force_sensor/tare is not there: check the force_sensor node", False

    def _on_tared(self, goal_id: str, future: Future) -> None:
        if self._logic.goal is None or self._logic.goal.goal_id != goal_id:
            return
        answer = future.result()
        if answer.success:
            self._tare_deadline_s = None
            self._logic.start(goal_id)
            self._publish(time.monotonic())
        else:
            # A sensor that has just started has too few samples yet: give it a moment.
            self._tare_refusal, self._tare_asked = answer.message, False
        self._settle()

    def _await_tare(self, now_s: float) -> None:
        if self._tare_deadline_s is None or self._logic.goal is None:
            return
        if now_s > self._tare_deadline_s:
            self._logic.fail(self._logic.goal.goal_id, f"the force sensor was not tared: {self._tare_refusal}", now_s)
        elif not self._tare_asked and self._beats % TARE_EVERY == 0:
            self._ask_tare()

    def _settle(self) -> None:
        """Tells the waiting goal, the arm and the log as soon as the state table has ended a goal."""
        outcome = self._logic.outcome
        if self._handle is None or self._logic.goal is not None or outcome is None or self._ended is None:
            return
        self._publish(time.monotonic())
        self._ended.set_result(outcome)
        self._handle, self._tare_deadline_s = None, None
        # Two calls: rclpy refuses one line of code that logs with different severities.
        if outcome.success:
            self.get_logger().info(f"goal succeeded: {outcome.reason}")
        else:
            self.get_logger().warning(f"goal failed: {outcome.reason}")
        if self.params.auto_retract and self._logic.system_active:
            request = Retract.Request(distance=self.params.auto_retract_distance_m)
            self._retract.call_async(request).add_done_callback(self._on_retracted)

    def _on_retracted(self, future: Future) -> None:
        answer = future.result()
        if answer is None or not answer.success:
            self.get_logger().warning(f"automatic retract: {answer.message if answer is not None else 'no answer'}")

    # Inputs.

    def _on_system(self, message: SystemState) -> None:
        active, coming = message.state == SystemState.ACTIVE, message.state == SystemState.STARTING
        self._logic.system(active, coming, message.reason, time.monotonic())
        self._settle()

    def _on_arm(self, message: ArmState) -> None:
        self._arm = message
        self._logic.arm(message.state, message.reason, time.monotonic())
        if self._handle is not None:
            self._metrics.arm(message.chunks_rejected)
        self._settle()

    def _hear_pose(self, message: PoseStamped, _: dict[str, Any]) -> None:
        self._heard_pose = message

    def _hear_force(self, message: ForceSamples, _: dict[str, Any]) -> None:
        self._heard_force.append((message, time.monotonic()))

    def _take_heard(self) -> None:
        """Hands what the listener has kept to the state table."""
        self._take_pose()
        while self._heard_force:
            self._take_force(*self._heard_force.popleft())

    def _take_pose(self) -> None:
        message, self._heard_pose = self._heard_pose, None
        if message is None:
            return
        try:
            pose = pose_from_message(message.pose)
        except ValueError as error:
            self.get_logger().warning(f"tool_pose: {error}", throttle_duration_sec=5.0)
            return
        self._logic.tool(pose.position, pose.rotation[:, 2])

    def _take_force(self, message: ForceSamples, arrived_s: float) -> None:
        forces = np.frombuffer(message.force, dtype=np.float32)
        force_n = float(forces.mean()) if forces.size else math.nan
        distance_m = math.nan
        if message.aline_bins and len(message.alines) and len(message.alines) % message.aline_bins == 0:
            lines = np.frombuffer(message.alines, dtype=np.float32).reshape(-1, message.aline_bins)
            distance_m = surface_distance(lines.mean(axis=0))
        self._logic.touch(force_n, distance_m, arrived_s)
        if self._handle is not None:
            for value in (forces.max(initial=-math.inf), force_n):
                if math.isfinite(value):
                    self._metrics.force(float(value))

    def _on_chunk(self, message: ActionChunk) -> None:
        if self._handle is None or message.goal_id != _goal_id(self._handle) or len(message.data) < message.dim:
            return
        self._take_heard()
        self._metrics.chunk(ns_from_time(message.header.stamp), ns_from_time(message.features_stamp))
        aux = message.data[message.dim - 1]  # first row: what is executed now
        self._logic.chunk(message.goal_id, aux, message.status, time.monotonic())

    # Heartbeat.

    def _beat(self) -> None:
        now_s = time.monotonic()
        self._take_heard()
        self._await_tare(now_s)
        self._logic.step(now_s)
        self._settle()
        self._publish(now_s)
        self._beats += 1
        if self._handle is not None and self._beats % FEEDBACK_EVERY == 0:
            self._handle.publish_feedback(
                RunInsertion.Feedback(
                    phase=int(self._logic.phase),
                    depth=self._logic.depth_m,
                    force=self._arm.force if self._arm is not None else math.nan,
                    status=self._logic.status,
                )
            )

    def _publish(self, now_s: float) -> None:
        logic = self._logic
        message = TaskState(
            phase=int(logic.shown_phase),
            permit=logic.permit,
            goal_id=logic.goal.goal_id if logic.goal else "",
            instruction=logic.goal.instruction if logic.goal else "",
            depth=logic.depth_m,
            elapsed=logic.elapsed_s(now_s),
            status=logic.status,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(message)


def _goal_id(handle: ServerGoalHandle) -> str:
    return bytes(handle.goal_id.uuid).hex()


def _refuse(reason: str, handle: ServerGoalHandle) -> RunInsertion.Result:
    handle.abort()
    nan = math.nan
    return RunInsertion.Result(
        success=False,
        reason=reason,
        depth=nan,
        final_force=nan,
        peak_force=nan,
        action_rate=nan,
        action_interval_p99=nan,
        features_age_p99=nan,
    )


def main() -> int:
    """Runs the node."""
    return run(Task)


if __name__ == "__main__":
    sys.exit(main())
