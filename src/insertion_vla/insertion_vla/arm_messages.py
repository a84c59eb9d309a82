"""The arm's outgoing messages, made once and filled again and again."""

import array
import time
from collections.abc import Sequence

from geometry_msgs.msg import PoseStamped
from insertion_vla_core.geometry import Pose
from sensor_msgs.msg import JointState

from insertion_vla.arm_loop import Cycle
from insertion_vla.arms.backend import RobotState
from insertion_vla.messages import set_pose, set_time
from insertion_vla_interfaces.msg import ArmState


class RobotMessages:
    """joint_states and tool_pose; used by one thread."""

    def __init__(self, joint_names: Sequence[str], frame: str) -> None:
        self._joints = JointState(name=list(joint_names))
        self._pose = PoseStamped()
        self._pose.header.frame_id = frame

    def joints(self, state: RobotState) -> JointState:
        """Joint positions [rad] and velocities [rad/s]."""
        message = self._joints
        set_time(message.header.stamp, state.stamp_ns)
        message.position = array.array("d", state.q.tobytes())
        message.velocity = array.array("d", state.dq.tobytes() if state.dq is not None else b"")
        return message

    def tool_pose(self, pose: Pose, stamp_ns: int) -> PoseStamped:
        """Needle tip in the base frame."""
        set_time(self._pose.header.stamp, stamp_ns)
        set_pose(self._pose.pose, pose)
        return self._pose


class ArmStateMessage:
    """arm/state; used by the control thread. ``newest`` is the cycle that was published last."""

    def __init__(self, frame: str) -> None:
        self.newest: Cycle | None = None
        self._message = ArmState()
        self._message.header.frame_id = frame

    def fill(self, cycle: Cycle) -> ArmState:
        """Everything but the limits about what the gate lets through and why."""
        message, decision, status = self._message, cycle.decision, cycle.status
        self.newest = cycle
        set_time(message.header.stamp, time.time_ns())
        message.state = int(decision.state)
        message.reason = decision.reason
        message.speed_scale = float(decision.speed_scale)
        message.twist = decision.twist
        message.force = float(status.force_n)
        message.force_age = float(status.force_age_s)
        message.robot_age = float(status.robot_age_s)
        message.chunk_age = float(status.chunk_age_s)
        message.session_id = status.session
        message.chunks_accepted = status.chunks_accepted
        message.chunks_rejected = status.chunks_rejected
        message.last_rejection = status.last_rejection
        message.missed_deadlines = status.missed_deadlines
        return message
