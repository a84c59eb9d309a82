"""Messages of imported streams as CDR bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.bags.local_types import local_type

JOINTS, POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"
POINT, VECTOR = "geometry_msgs/msg/PointStamped", "geometry_msgs/msg/Vector3Stamped"
FORCE, CHUNK = "insertion_vla_interfaces/msg/ForceSamples", "insertion_vla_interfaces/msg/ActionChunk"
IMAGE = "sensor_msgs/msg/CompressedImage"
NS = 1_000_000_000
Row = NDArray[Any]


def joint_state(stamp_ns: int, names: Sequence[str], position: Row | None, velocity: Row | None = None) -> bytes:
    """Joints [rad] and their speeds [rad/s]; an array that was not recorded is empty."""
    kind = local_type(JOINTS)
    nothing = np.zeros(0)
    message = kind.new(
        header=_header(kind, stamp_ns),
        name=list(names),
        position=nothing if position is None else np.asarray(position, np.float64),
        velocity=nothing if velocity is None else np.asarray(velocity, np.float64),
        effort=nothing,
    )
    return kind.encode(message)


def pose(stamp_ns: int, row: Row) -> bytes:
    """A pose: x, y, z [m], quaternion x, y, z, w."""
    kind = local_type(POSE)
    return kind.encode(kind.new(header=_header(kind, stamp_ns), pose=_pose(kind, row)))


def point(stamp_ns: int, row: Row) -> bytes:
    """A point [m]."""
    kind = local_type(POINT)
    return kind.encode(kind.new(header=_header(kind, stamp_ns), point=_xyz(kind, "geometry_msgs/msg/Point", row)))


def vector(stamp_ns: int, row: Row) -> bytes:
    """A free vector."""
    kind = local_type(VECTOR)
    return kind.encode(kind.new(header=_header(kind, stamp_ns), vector=_xyz(kind, "geometry_msgs/msg/Vector3", row)))


def force_samples(
    stamps_ns: NDArray[np.int64],
    receive_ns: NDArray[np.int64],
    raw: Row,
    newtons: Row,
    alines: Row | None,
    received: int,
) -> bytes:
    """A block of samples: stamps (n,), raw and newtons (n,), A-lines (n, bins) or None; received: up to its end."""
    kind = local_type(FORCE)
    lines = np.zeros((len(stamps_ns), 0), np.float32) if alines is None else np.asarray(alines, np.float32)
    message = kind.new(
        header=_header(kind, int(stamps_ns[-1]), "tool"),
        stamps=stamps_ns,
        receive_stamps=receive_ns,
        force=np.asarray(newtons, np.float32),
        force_raw=np.asarray(raw, np.float32),
        aline_bins=lines.shape[1],
        alines=lines.ravel(),
        received=received,
        lost=0,
    )
    return kind.encode(message)


def image(stamp_ns: int, jpeg: bytes) -> bytes:
    """A JPEG image, its bytes as they are."""
    kind = local_type(IMAGE)
    data = np.frombuffer(jpeg, np.uint8)
    return kind.encode(kind.new(header=_header(kind, stamp_ns), format="jpeg", data=data))


def chunk(stamp_ns: int, sequence: int, anchor: Row, rows: Row, dt_s: float, session: str) -> bytes:
    """An action chunk: rows (horizon, channels), anchor (7,) the measured tool pose at its stamp."""
    kind = local_type(CHUNK)
    nothing = _time(kind, 0)
    message = kind.new(
        header=_header(kind, stamp_ns),
        session_id=session,
        sequence=sequence,
        anchor=_pose(kind, anchor),
        dt=dt_s,
        horizon=rows.shape[0],
        dim=rows.shape[1],
        data=np.asarray(rows, np.float32).ravel(),
        policy_id="import",
        goal_id="",
        status="",
        features_stamp=nothing,
        force_stamp=nothing,
        inference_time=0.0,
    )
    return kind.encode(message)


def _time(kind: Any, stamp_ns: int) -> Any:
    return kind.of("builtin_interfaces/msg/Time", sec=stamp_ns // NS, nanosec=stamp_ns % NS)


def _header(kind: Any, stamp_ns: int, frame: str = "base") -> Any:
    return kind.of("std_msgs/msg/Header", stamp=_time(kind, stamp_ns), frame_id=frame)


def _xyz(kind: Any, name: str, row: Row) -> Any:
    return kind.of(name, x=float(row[0]), y=float(row[1]), z=float(row[2]))


def _pose(kind: Any, row: Row) -> Any:
    turn = dict(zip("xyzw", (float(number) for number in row[3:7]), strict=True))
    return kind.of(
        "geometry_msgs/msg/Pose",
        position=_xyz(kind, "geometry_msgs/msg/Point", row),
        orientation=kind.of("geometry_msgs/msg/Quaternion", **turn),
    )
