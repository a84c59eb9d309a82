"""Messages from and to the types of core.

Array fields take ``array.array`` only: with numpy arrays or lists rclpy converts element by element, a thousand times
slower.
"""

import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose as PoseMessage
from geometry_msgs.msg import PoseStamped
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.geometry import Pose, matrix_from_quaternion, quaternion_from_matrix

from insertion_vla_interfaces.msg import ActionChunk

NS = 1_000_000_000


def time_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds to a Time message."""
    return Time(sec=stamp_ns // NS, nanosec=stamp_ns % NS)


def set_time(message: Time, stamp_ns: int) -> None:
    """Write nanoseconds into an existing Time message."""
    message.sec = stamp_ns // NS
    message.nanosec = stamp_ns % NS


def ns_from_time(message: Time) -> int:
    """A Time message as nanoseconds."""
    return message.sec * NS + message.nanosec


def floats(values: np.ndarray, typecode: str = "f") -> array.array:
    """Numbers of any shape as a flat ``array.array``: "f" float32, "d" float64, "q" int64."""
    dtype = {"f": np.float32, "d": np.float64, "q": np.int64}[typecode]
    return array.array(typecode, np.ascontiguousarray(values, dtype=dtype).tobytes())


def set_pose(message: PoseMessage, pose: Pose) -> None:
    """Write a pose into an existing message."""
    x, y, z = pose.position.tolist()
    message.position.x, message.position.y, message.position.z = x, y, z
    qx, qy, qz, qw = quaternion_from_matrix(pose.rotation).tolist()
    o = message.orientation
    o.x, o.y, o.z, o.w = qx, qy, qz, qw


def pose_to_message(pose: Pose) -> PoseMessage:
    """A pose as a geometry_msgs Pose."""
    message = PoseMessage()
    set_pose(message, pose)
    return message


def pose_from_message(message: PoseMessage) -> Pose:
    """A geometry_msgs Pose as a pose.

    Raises:
        ValueError: a number is not finite, or the quaternion is not of length 1 within 1 %.
    """
    p, o = message.position, message.orientation
    position = np.array([p.x, p.y, p.z])
    quaternion = np.array([o.x, o.y, o.z, o.w])
    length = float(np.linalg.norm(quaternion))
    if not (np.isfinite(position).all() and np.isfinite(length) and abs(length - 1.0) < 0.01):
        raise ValueError(
            f"expected a pose of finite numbers with a unit quaternion, got position {position.tolist()} and "
            f"quaternion {quaternion.tolist()} of length {length:g}"
        )
    return Pose(position, matrix_from_quaternion(quaternion / length))


def pose_stamped(pose: Pose, stamp_ns: int, frame: str) -> PoseStamped:
    """A pose with stamp and frame."""
    message = PoseStamped()
    message.header.frame_id = frame
    set_time(message.header.stamp, stamp_ns)
    set_pose(message.pose, pose)
    return message


def pose_row(pose: Pose) -> np.ndarray:
    """A pose as the (7,) row of the tool_pose stream: position [m], quaternion xyzw."""
    return np.concatenate([pose.position, quaternion_from_matrix(pose.rotation)])


def pose_from_row(row: np.ndarray) -> Pose:
    """The pose of a row of the tool_pose stream."""
    return Pose(np.array(row[:3], dtype=np.float64), matrix_from_quaternion(np.asarray(row[3:7], dtype=np.float64)))


def chunk_to_message(chunk: Chunk, frame: str = "base") -> ActionChunk:
    """A chunk as an ActionChunk message."""
    rows = np.concatenate([chunk.deltas, chunk.aux[:, None]], axis=1)
    message = ActionChunk()
    message.header.frame_id = frame
    set_time(message.header.stamp, chunk.stamp_ns)
    message.session_id = chunk.session
    message.sequence = chunk.sequence
    set_pose(message.anchor, chunk.anchor)
    message.dt = float(chunk.dt_s)
    message.horizon, message.dim = (int(n) for n in rows.shape)
    message.data = floats(rows)
    message.policy_id = chunk.policy_id
    message.goal_id = chunk.goal
    message.status = chunk.status
    message.features_stamp = time_from_ns(chunk.features_stamp_ns)
    message.force_stamp = time_from_ns(chunk.force_stamp_ns)
    message.inference_time = float(chunk.inference_s)
    return message


def unreadable_chunk(message: ActionChunk) -> Chunk:
    """What is left of a message that is no chunk: its sender, and no rows. Core rejects it as any wrong chunk."""
    nothing, stamp_ns = np.zeros((0, 6)), ns_from_time(message.header.stamp)
    return Chunk(
        message.session_id, message.sequence, message.goal_id, stamp_ns, Pose.identity(), 0.1, nothing, nothing[:, 0]
    )


def chunk_from_message(message: ActionChunk) -> Chunk:
    """An ActionChunk message as a chunk; its numbers are checked by core's ``check_chunk``, not here.

    Raises:
        ValueError: the data do not have the announced shape, or the anchor is not a pose.
    """
    count, shape = len(message.data), (message.horizon, message.dim)
    if message.dim != 7 or count != shape[0] * shape[1]:
        raise ValueError(f"expected horizon x 7 numbers, got {shape[0]} x {shape[1]} announced and {count} numbers")
    rows = np.array(message.data, dtype=np.float64).reshape(shape)
    return Chunk(
        session=message.session_id,
        sequence=message.sequence,
        goal=message.goal_id,
        stamp_ns=ns_from_time(message.header.stamp),
        anchor=pose_from_message(message.anchor),
        dt_s=round(float(message.dt), 6),  # float32 on the wire: 0.1 comes back as 0.10000000149
        deltas=rows[:, :6],
        aux=rows[:, 6],
        policy_id=message.policy_id,
        status=message.status,
        features_stamp_ns=ns_from_time(message.features_stamp),
        force_stamp_ns=ns_from_time(message.force_stamp),
        inference_s=float(message.inference_time),
    )
