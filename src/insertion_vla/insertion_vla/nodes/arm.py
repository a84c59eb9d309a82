"""The arm: the only node that talks to the robot. The gate sits here, next to the hardware.

Subscribes:
    action_expert/chunk (ActionChunk), task/state (TaskState, the permission to move), force/wrench (WrenchStamped)
Publishes:
    joint_states (sensor_msgs/JointState), tool_pose (geometry_msgs/PoseStamped): every robot state, 100 Hz, measured
    arm/state (ArmState): 20 Hz and at once on every change of state
Services:
    arm/stop (Trigger): FAULT now. arm/rearm (Trigger): clear the robot's error and leave FAULT; motion does not resume.
    arm/retract (Retract): pull back along the needle; allowed in FAULT, ends when the force rises.
Parameters: class Parameters below; the entries of ``limits_file`` appear as ``limits.*`` and can only be tightened.
On failure: any doubt holds the arm, a fault stops it and is latched until arm/rearm; an error of the robot is never
reset without that call. On SIGTERM the arm stops before anything else is done. If this process dies, the robot's own
velocity timeout and watchdog stop it.
"""

import math
import sys
import threading
import time
import traceback
from typing import Any, Literal

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from geometry_msgs.msg import PoseStamped, WrenchStamped
from insertion_vla_core.calibration import load_calibration
from insertion_vla_core.chunk import ChunkDropped, ChunkRejected
from insertion_vla_core.decision import Refused, State
from insertion_vla_core.executor import Execution
from insertion_vla_core.gate import Gate
from insertion_vla_core.kinematics import load_arm
from insertion_vla_core.limits import load_limits
from insertion_vla_core.realtime import take_realtime_priority
from pydantic import Field
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla.arm_limits import LimitParameters
from insertion_vla.arm_loop import ArmLoop, Cycle
from insertion_vla.arm_messages import ArmStateMessage, RobotMessages
from insertion_vla.arms.backend import Backend, RobotState
from insertion_vla.arms.meca500 import Meca500
from insertion_vla.arms.meca500_setup import Meca500Settings
from insertion_vla.arms.ros2_control import Ros2Control, Ros2ControlSettings
from insertion_vla.background import Background
from insertion_vla.listener import Heard, Listener
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.messages import chunk_from_message, ns_from_time, unreadable_chunk
from insertion_vla.parameters import ParameterModel
from insertion_vla.paths import config_file
from insertion_vla_interfaces.msg import ActionChunk, ArmState, TaskState
from insertion_vla_interfaces.srv import Retract

STATE_PERIOD_S = 0.05
SWITCH_INTERVAL_S = 0.001  # a busy thread gives way to the control loop this soon
REPLAYED_S = 1.0  # a permission stamped longer ago than this comes from a recording
CHUNKS, FORCE, TASK = "action_expert/chunk", "force/wrench", "task/state"


class Parameters(ParameterModel):
    backend: Literal["meca500", "ros2_control"] = Field("meca500", description="robot controller to talk to")
    arm: str = Field("meca500", min_length=1, description="kinematics: a shipped arm, or a YAML file with a DH table")
    calibration_file: str = Field(
        "calibration/sim.yaml",
        min_length=1,
        description="camera calibration; its 'tool' is the needle tip on the flange",
    )
    limits_file: str = Field("limits.yaml", min_length=1, description="table of limits, all of them required")
    base_frame: str = Field("base", min_length=1, description="frame of tool_pose: the robot's base")
    execution: Execution = Field("blend", description="how a new chunk takes over: blend, newest or ensemble")
    meca500: Meca500Settings = Field(default_factory=Meca500Settings)
    ros2_control: Ros2ControlSettings = Field(default_factory=Ros2ControlSettings)


class ArmNode(ManagedNode):
    NAME = "arm"
    Parameters = Parameters
    loop: ArmLoop | None = None
    backend: Backend | None = None
    _force: Listener | None = None
    _ending = False

    def setup(self) -> None:
        p = self.params
        arm = load_arm(p.arm if not p.arm.endswith((".yaml", ".yml")) else config_file(p.arm))
        tool = load_calibration(config_file(p.calibration_file)).tool
        limits = load_limits(config_file(p.limits_file))
        self.robot_reason = ""
        self._robot_came = threading.Event()
        self._sent_state_s = 0.0
        self._background = Background(self)
        self.loop = ArmLoop(Gate(limits, arm, tool, p.execution), arm, tool, self._on_cycle, self._on_crash)
        self._limit_parameters = LimitParameters(self, limits, self._tighten)
        self._state_message = ArmStateMessage(p.base_frame)
        self._robot_messages = RobotMessages(arm.joint_names, p.base_frame)
        self._states = self.create_publisher(ArmState, "arm/state", qos.STATE)
        self._joints = self.create_publisher(JointState, "joint_states", qos.ROBOT)
        self._poses = self.create_publisher(PoseStamped, "tool_pose", qos.ROBOT)
        self.create_service(Trigger, "arm/stop", self._on_stop)
        # These two take a while; in a group of their own they do not keep force and chunks waiting.
        slow = ReentrantCallbackGroup()
        self.create_service(Trigger, "arm/rearm", self._on_rearm, callback_group=slow)
        self.create_service(Retract, "arm/retract", self._on_retract, callback_group=slow)
        if p.backend == "meca500":
            workspace = [limits.workspace_min, limits.workspace_max]
            self.backend = Meca500(p.meca500, arm, tool, workspace, self._on_robot, self._on_trouble)
        else:
            self.backend = Ros2Control(p.ros2_control, arm, tool, self, self._on_robot, self._on_trouble)
            if self.resolve_topic_name(p.ros2_control.state_topic) == self._joints.topic_name:
                # The broadcaster already publishes this very stream, here and with the same stamps.
                self.destroy_publisher(self._joints)
                self._joints = None
        self.loop.backend = self.backend
        self.backend.connect()

    def start(self) -> None:
        assert self.loop is not None and self.backend is not None
        self.robot_reason = ""
        self.loop.start()
        try:
            self.backend.make_ready(reset=False)
        except OSError as error:
            # Active, but in FAULT with the robot's reason: arm/rearm is what clears it.
            self._on_trouble(str(error))
        heard = [Heard(WrenchStamped, FORCE, self._on_force, qos.WRENCH)]
        self._force = Listener(self, "force", heard, self._on_crash)
        self.create_subscription(TaskState, TASK, self._on_task, qos.STATE)
        self.create_subscription(ActionChunk, CHUNKS, self._on_chunk, qos.CHUNK)

    def stop(self) -> None:
        if self.loop is not None:
            self.loop.halt()
        if self._force is not None:
            self._force.close()
            self._force = None
        if self.loop is not None:
            self.loop.stop("the arm node is not active")
        if self.backend is not None:
            self.backend.idle()

    def teardown(self) -> None:
        if self.backend is not None:
            self.backend.close()
        if self.loop is not None:
            self._limit_parameters.remove()
        self.backend = self.loop = None

    def interrupted(self) -> None:
        loop, backend = self.loop, self.backend
        self._ending = True
        if backend is not None:
            backend.give_up()
        if loop is not None and loop.running:
            loop.fault("the arm node was told to end")

    # The force listener's thread.

    def _on_force(self, message: WrenchStamped, info: dict[str, Any]) -> None:
        self.loop.force(message.wrench.force.z, arrived_s(info))

    # Executor thread.

    def _on_task(self, message: TaskState, info: dict[str, Any]) -> None:
        age_s = (time.time_ns() - ns_from_time(message.header.stamp)) * 1e-9
        if abs(age_s) > REPLAYED_S:
            self.get_logger().error(
                f"permission to move ignored: it is stamped {age_s:.1f} s ago; is a recording played into {TASK}?",
                throttle_duration_sec=1.0,
            )
            return
        self.loop.heartbeat(message.permit, message.goal_id, arrived_s(info))

    def _on_chunk(self, message: ActionChunk) -> None:
        try:
            try:
                chunk = chunk_from_message(message)
            except ValueError as error:
                self.get_logger().error(f"chunk rejected: {error}", throttle_duration_sec=1.0)
                chunk = unreadable_chunk(message)
            self.loop.chunk(chunk)
        except ChunkDropped:
            return  # counted by the gate; expected now and then
        except ChunkRejected as error:
            self.get_logger().error(f"chunk rejected: {error}", throttle_duration_sec=1.0)

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.loop.fault("stopped by arm/stop")
        response.success, response.message = True, "the arm stands still; call arm/rearm to go on"
        return response

    async def _on_rearm(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = await self._background.run("re-arm", self._rearm)
        self.get_logger().info(f"arm/rearm: {response.message}")
        return response

    async def _on_retract(self, request: Retract.Request, response: Retract.Response) -> Retract.Response:
        done = await self._background.run("retract", lambda: self._retract(float(request.distance)))
        response.success, response.message = done[:2]
        response.travelled = float(done[2]) if len(done) > 2 else 0.0
        self.get_logger().info(f"arm/retract: {response.message}")
        return response

    # Background threads.

    def _rearm(self) -> tuple[bool, str]:
        loop, backend = self.loop, self.backend
        if self.phase != "active":
            raise Refused(f"the arm node is {self.phase}; activate it first")
        if loop.with_gate(lambda gate, now_s: gate.state) is not State.FAULT:
            raise Refused("nothing to re-arm: the arm is not in FAULT")
        if self.robot_reason:
            backend.make_ready(reset=True)
            self.robot_reason = ""
            self._fresh_state(backend)
        loop.with_gate(lambda gate, now_s: gate.rearm(now_s))
        return True, "re-armed; the goal that was running is not resumed"

    def _fresh_state(self, backend: Backend) -> None:
        """Let one robot state arrive, so that the gate does not judge by the last one before the trouble."""
        self._robot_came.clear()
        self._robot_came.wait(1.0)

    def _retract(self, distance_m: float) -> tuple[bool, str, float]:
        loop = self.loop
        if self.phase != "active":
            raise Refused(f"the arm node is {self.phase}; activate it first")
        if self.robot_reason:
            raise Refused(f"the robot is not ready: {self.robot_reason}; call arm/rearm first")
        loop.with_gate(lambda gate, now_s: gate.retract(distance_m, now_s))
        while loop.running and loop.with_gate(lambda gate, now_s: gate.state) is State.RETRACTING:
            time.sleep(0.02)
        report = loop.with_gate(lambda gate, now_s: gate.retract_report)
        return report.complete, report.message, report.travelled_m

    # The back end's threads.

    def _on_robot(self, state: RobotState) -> None:
        loop = self.loop
        if loop is None:
            return
        pose = loop.robot(state)
        self._robot_came.set()
        if loop.running:
            if self._joints is not None:
                self._joints.publish(self._robot_messages.joints(state))
            self._poses.publish(self._robot_messages.tool_pose(pose, state.stamp_ns))

    def _on_trouble(self, reason: str) -> None:
        self.robot_reason = reason
        loop = self.loop
        if loop is not None and loop.running:
            loop.fault(reason)
            self.get_logger().error(f"FAULT: {reason}")

    # The control thread.

    def _on_cycle(self, cycle: Cycle) -> None:
        now_s = time.monotonic()
        if cycle.changed or now_s - self._sent_state_s >= STATE_PERIOD_S - 0.002:
            self._sent_state_s = now_s
            self._states.publish(self._state_message.fill(cycle))
        if cycle.changed and cycle.decision.state is State.FAULT and not self._ending:
            self.get_logger().error(f"FAULT: {cycle.decision.reason}")

    def _on_crash(self, error: BaseException) -> None:
        if self.loop is not None:
            self.loop.fault(f"the arm node failed: {type(error).__name__}: {error}")
        text = "".join(traceback.format_exception(error))
        self.get_logger().error(f"the arm node failed:\n{text}", throttle_duration_sec=5.0)

    def _tighten(self, limits: Any) -> None:
        self.loop.with_gate(lambda gate, now_s: gate.tighten(limits))

    # Diagnostics.

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        loop = self.loop
        cycle = self._state_message.newest
        rivals = self._rivals()
        if rivals:
            stat.summary(DiagnosticStatus.ERROR, rivals)
        elif cycle is not None and cycle.decision.state is State.FAULT:
            stat.summary(DiagnosticStatus.ERROR, f"FAULT: {cycle.decision.reason}")
        elif cycle is not None and cycle.status.chunks_rejected and cycle.decision.state is State.HOLD:
            stat.summary(DiagnosticStatus.WARN, f"HOLD: {cycle.decision.reason}")
        elif cycle is not None:
            stat.summary(DiagnosticStatus.OK, f"{cycle.decision.state.name}: {cycle.decision.reason}".rstrip(": "))
        late_s, loop.late_s = loop.late_s, 0.0
        stat.add("latest cycle, late by [ms]", f"{late_s * 1e3:.1f}")
        stat.add("stops by the watchdog", str(loop.watchdog_stops))
        if cycle is not None:
            status = cycle.status
            stat.add("missed deadlines", str(status.missed_deadlines))
            stat.add("chunks accepted / rejected", f"{status.chunks_accepted} / {status.chunks_rejected}")
            stat.add("last rejection", status.last_rejection or "none")
            for name in ("force_age_s", "robot_age_s", "chunk_age_s"):
                age_s = getattr(status, name)
                stat.add(
                    f"{name.removesuffix('_s').replace('_', ' ')} [s]", "none" if math.isnan(age_s) else f"{age_s:.3f}"
                )
        for key, value in self.backend.facts().items():
            stat.add(key, value)

    def _rivals(self) -> str:
        """Two publishers of what the arm obeys, by name; empty while there is one of each."""
        for topic in (CHUNKS, FORCE, TASK):
            sources = self.get_publishers_info_by_topic(self.resolve_topic_name(topic))
            if len(sources) > 1:
                names = ", ".join(sorted(f"{s.node_namespace.rstrip('/')}/{s.node_name}" for s in sources))
                return f"{len(sources)} publishers on {topic}: {names}; stop all but one"
        return ""


def arrived_s(info: dict[str, Any]) -> float:
    """Steady time at which a message reached this process: it may have waited behind others since."""
    waited_s = (time.time_ns() - info["received_timestamp"]) * 1e-9
    return time.monotonic() - min(max(waited_s, 0.0), 10.0)


def main() -> int:
    """Entry point of the executable ``arm``."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    take_realtime_priority()
    return run(ArmNode)


if __name__ == "__main__":
    raise SystemExit(main())
