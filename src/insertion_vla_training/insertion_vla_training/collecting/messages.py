"""The graph's messages as CDR bytes, as the nodes send them, without ROS; each is made once and filled many times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from insertion_vla_core.calibration import View
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.decision import Decision, GateStatus
from insertion_vla_core.geometry import Pose, quaternion_from_matrix
from insertion_vla_policy.protocol import Features
from insertion_vla_sim.lockstep_streams import BLOCK, Block

from insertion_vla_training.bags.local_types import local_type
from insertion_vla_training.collecting.task import TaskWords

INTERFACES = "insertion_vla_interfaces/msg/"
JOINTS, POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"
IMAGE, CAMERA_INFO = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
FORCE, FEATURES, CHUNK = (INTERFACES + name for name in ("ForceSamples", "VLFeatures", "ActionChunk"))
ARM, TASK = INTERFACES + "ArmState", INTERFACES + "TaskState"
BASE_FRAME, TOOL_FRAME = "base", "tool"
NS = 1_000_000_000


class Blank:
    """One message of a type, to be filled and encoded."""

    def __init__(self, kind: str, frame: str, **fields: Any) -> None:
        self._kind = local_type(kind)
        stamp = self._kind.of("builtin_interfaces/msg/Time", sec=0, nanosec=0)
        header = self._kind.of("std_msgs/msg/Header", stamp=stamp, frame_id=frame)
        self.message = self._kind.new(header=header, **fields)

    def encode(self, stamp_ns: int) -> bytes:
        """Its bytes with that stamp; arrays that were put in must have the dtype of their field."""
        stamp = self.message.header.stamp
        stamp.sec, stamp.nanosec = divmod(stamp_ns, NS)
        return self._kind.encode(self.message)

    def time(self, stamp_ns: int) -> Any:
        """A Time message."""
        return self._kind.of("builtin_interfaces/msg/Time", sec=stamp_ns // NS, nanosec=stamp_ns % NS)


def _blank_pose(kind: str) -> Any:
    make = local_type(kind).of
    point = make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0)
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    return make("geometry_msgs/msg/Pose", position=point, orientation=turn)


def _fill_pose(message: Any, pose: Pose) -> None:
    p, o = message.position, message.orientation
    p.x, p.y, p.z = pose.position.tolist()
    o.x, o.y, o.z, o.w = quaternion_from_matrix(pose.rotation).tolist()


class RobotMessages:
    """joint_states and tool_pose."""

    def __init__(self, joint_names: Sequence[str]) -> None:
        zeros = np.zeros(len(joint_names))
        self._joints = Blank(JOINTS, "", name=list(joint_names), position=zeros, velocity=zeros, effort=zeros[:0])
        self._pose = Blank(POSE, BASE_FRAME, pose=_blank_pose(POSE))

    def joints(self, stamp_ns: int, q: np.ndarray, dq: np.ndarray) -> bytes:
        """Joint positions (n,) [rad] and velocities (n,) [rad/s]."""
        self._joints.message.position, self._joints.message.velocity = q, dq
        return self._joints.encode(stamp_ns)

    def tool_pose(self, stamp_ns: int, tool: Pose) -> bytes:
        """The needle tip in the base."""
        _fill_pose(self._pose.message.pose, tool)
        return self._pose.encode(stamp_ns)


class ForceMessages:
    """force/samples."""

    def __init__(self) -> None:
        stamps, forces = np.zeros(BLOCK, np.int64), np.zeros(BLOCK, np.float32)
        self._block = Blank(
            FORCE, TOOL_FRAME, stamps=stamps, receive_stamps=stamps, force=forces, force_raw=forces,
            aline_bins=0, alines=forces, received=0, lost=0,
        )  # fmt: skip

    def block(self, block: Block, stamps_ns: np.ndarray, receive_ns: np.ndarray, received: int) -> tuple[bytes, Any]:
        """A block with its stamps and receive stamps (10,), and the message itself for the audit."""
        message = self._block.message
        message.stamps, message.receive_stamps = stamps_ns, receive_ns
        message.force, message.force_raw = block.force_n.astype(np.float32), block.force_raw
        message.aline_bins, message.alines = block.alines.shape[1], block.alines.ravel()
        message.received = received
        return self._block.encode(int(stamps_ns[-1])), message


class CameraMessages:
    """<view>/image_raw/compressed and <view>/camera_info of one calibrated view."""

    def __init__(self, name: str, view: View) -> None:
        frame = f"{name}_optical"
        self._image = Blank(IMAGE, frame, format="jpeg", data=np.zeros(0, np.uint8))
        make = local_type(CAMERA_INFO).of
        region = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        self._info = Blank(
            CAMERA_INFO, frame, height=view.height, width=view.width, distortion_model="plumb_bob", d=np.zeros(5),
            k=np.array([view.fx, 0.0, view.cx, 0.0, view.fy, view.cy, 0.0, 0.0, 1.0]), r=np.eye(3).ravel(),
            p=np.array([view.fx, 0.0, view.cx, 0.0, 0.0, view.fy, view.cy, 0.0, 0.0, 0.0, 1.0, 0.0]),
            binning_x=0, binning_y=0, roi=region,
        )  # fmt: skip

    def image(self, stamp_ns: int, jpeg: bytes) -> bytes:
        """A picture as the camera sent it."""
        self._image.message.data = np.frombuffer(jpeg, np.uint8)
        return self._image.encode(stamp_ns)

    def info(self, stamp_ns: int) -> bytes:
        """The intrinsics."""
        return self._info.encode(stamp_ns)


class ChunkMessages:
    """action_expert/chunk."""

    def __init__(self, frame: str) -> None:
        self._chunk = Blank(
            CHUNK, frame, session_id="", sequence=0, anchor=_blank_pose(CHUNK), dt=0.0, horizon=0, dim=0,
            data=np.zeros(0, np.float32), policy_id="", goal_id="", status="", inference_time=0.0,
            features_stamp=_zero_time(CHUNK), force_stamp=_zero_time(CHUNK),
        )  # fmt: skip

    def chunk(self, chunk: Chunk, session: str, goal: str, offset_ns: int) -> bytes:
        """A chunk in a session, for a goal; its stamps are moved by `offset_ns`."""
        message = self._chunk.message
        rows = np.concatenate([chunk.deltas, chunk.aux[:, None]], axis=1)
        message.session_id, message.goal_id, message.sequence = session, goal, chunk.sequence
        _fill_pose(message.anchor, chunk.anchor)
        message.dt, (message.horizon, message.dim) = chunk.dt_s, rows.shape
        message.data = rows.astype(np.float32).ravel()
        message.policy_id, message.status = chunk.policy_id, chunk.status
        message.inference_time = chunk.inference_s
        for name, stamp_ns in (("features_stamp", chunk.features_stamp_ns), ("force_stamp", chunk.force_stamp_ns)):
            setattr(message, name, self._chunk.time(stamp_ns + offset_ns if stamp_ns else 0))
        return self._chunk.encode(chunk.stamp_ns + offset_ns)


class StateMessages:
    """arm/state and task/state."""

    def __init__(self) -> None:
        self._arm = Blank(
            ARM, BASE_FRAME, state=0, reason="", speed_scale=0.0, twist=np.zeros(6), force=0.0, force_age=0.0,
            robot_age=0.0, chunk_age=0.0, session_id="", chunks_accepted=0, chunks_rejected=0, last_rejection="",
            missed_deadlines=0,
        )  # fmt: skip
        self._task = Blank(
            TASK, "", phase=0, permit=False, goal_id="", instruction="", depth=0.0, elapsed=0.0, status=""
        )

    def arm(self, stamp_ns: int, decision: Decision, status: GateStatus, session: str) -> bytes:
        """What the gate lets through."""
        message = self._arm.message
        message.state, message.reason = int(decision.state), decision.reason
        message.speed_scale, message.twist = decision.speed_scale, np.array(decision.twist, np.float64)
        message.force, message.force_age = status.force_n, status.force_age_s
        message.robot_age, message.chunk_age = status.robot_age_s, status.chunk_age_s
        message.session_id = session if status.session else ""
        message.chunks_accepted, message.chunks_rejected = status.chunks_accepted, status.chunks_rejected
        message.last_rejection, message.missed_deadlines = status.last_rejection, status.missed_deadlines
        return self._arm.encode(stamp_ns)

    def task(self, stamp_ns: int, words: TaskWords, goal: str, instruction: str) -> bytes:
        """The task's phase; a goal that has ended has no name."""
        message = self._task.message
        running = not words.ended
        message.phase, message.permit = words.phase, words.permit
        message.goal_id, message.instruction = (goal, instruction) if running else ("", "")
        message.depth, message.elapsed, message.status = words.depth_m, words.elapsed_s, words.status
        return self._task.encode(stamp_ns)


def features_bytes(features: Features, offset_ns: int) -> bytes:
    """vlm/features; its stamps are moved by `offset_ns`."""
    tokens = np.ascontiguousarray(features.tokens, dtype=np.float32)
    blank = Blank(
        FEATURES, "", view_names=list(features.view_names), view_stamps=[], instruction=features.instruction,
        model_id=features.model_id, model_hash=features.model_hash, shape=np.array(tokens.shape, np.uint32),
        dtype="float32", data=np.frombuffer(tokens.tobytes(), np.uint8), inference_time=features.inference_s,
    )  # fmt: skip
    blank.message.view_stamps = [blank.time(stamp_ns + offset_ns) for stamp_ns in features.view_stamps_ns]
    return blank.encode(features.stamp_ns + offset_ns)


def _zero_time(kind: str) -> Any:
    return local_type(kind).of("builtin_interfaces/msg/Time", sec=0, nanosec=0)
