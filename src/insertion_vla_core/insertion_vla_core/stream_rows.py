"""Messages to rows of the contract's streams: the same code for a live node and for a converter of recordings.

Messages are looked at by their fields alone, so those of rclpy and those that a bag reader decodes both work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insertion_vla_core.aline import surface_distance
from insertion_vla_core.contract import Stream

Rows = tuple[NDArray[np.int64], NDArray[np.float64]]


def rows_of(stream: Stream, message: Any) -> Rows:
    """Stamps (n,) [ns] and rows (n, C) that one message adds to a stream.

    Raises:
        ValueError: the message does not hold what the contract says; the sentence names what differs.
    """
    return _reader(stream)(stream, message)


def check_readable(stream: Stream) -> None:
    """Raises ValueError when no message of the stream's type and field can be turned into rows."""
    if not stream.payload:
        _reader(stream)


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs Header in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def _joints(stream: Stream, message: Any) -> Rows:
    names, values = list(message.name), getattr(message, stream.field)
    missing = [joint for joint in stream.channels if joint not in names]
    if missing or len(values) != len(names):
        raise ValueError(
            f"'{stream.name}': expected {stream.field} of {', '.join(stream.channels)}, got {len(values)} numbers for "
            f"{', '.join(names) or 'no joints'}"
        )
    # By name: drivers differ in the order of their joints.
    row = [values[names.index(joint)] for joint in stream.channels]
    return np.array([stamp_ns(message.header)]), np.array([row], dtype=np.float64)


def _pose(stream: Stream, message: Any) -> Rows:
    p, o = message.pose.position, message.pose.orientation
    return np.array([stamp_ns(message.header)]), np.array([[p.x, p.y, p.z, o.x, o.y, o.z, o.w]], dtype=np.float64)


def _vector(stream: Stream, message: Any) -> Rows:
    v = getattr(message, stream.field)
    return np.array([stamp_ns(message.header)]), np.array([[v.x, v.y, v.z]], dtype=np.float64)


def _force(stream: Stream, message: Any) -> Rows:
    stamps = np.asarray(message.stamps, dtype=np.int64)
    force = np.asarray(getattr(message, stream.field), dtype=np.float64)
    if len(stamps) != len(force):
        raise ValueError(f"'{stream.name}': expected a force per stamp, got {len(force)} for {len(stamps)} stamps")
    return stamps, force[:, None]


def _surface(stream: Stream, message: Any) -> Rows:
    bins = int(message.aline_bins)
    lines = np.asarray(message.alines, dtype=np.float32)
    if bins == 0 or len(lines) == 0:
        return np.zeros(0, np.int64), np.zeros((0, 1))
    if len(lines) % bins:
        raise ValueError(f"'{stream.name}': expected A-lines of {bins} bins, got {len(lines)} numbers")
    # One row per block: the mean of its lines has a third of the speckle of each.
    distance = surface_distance(lines.reshape(-1, bins).mean(axis=0))
    return np.asarray(message.stamps, dtype=np.int64)[-1:], np.array([[distance]])


_READERS: dict[tuple[str, str], Callable[[Stream, Any], Rows]] = {
    ("sensor_msgs/msg/JointState", "position"): _joints,
    ("sensor_msgs/msg/JointState", "velocity"): _joints,
    ("geometry_msgs/msg/PoseStamped", "pose"): _pose,
    ("geometry_msgs/msg/PointStamped", "point"): _vector,
    ("geometry_msgs/msg/Vector3Stamped", "vector"): _vector,
    ("insertion_vla_interfaces/msg/ForceSamples", "force"): _force,
    ("insertion_vla_interfaces/msg/ForceSamples", "force_raw"): _force,
    ("insertion_vla_interfaces/msg/ForceSamples", "alines"): _surface,
}


def _reader(stream: Stream) -> Callable[[Stream, Any], Rows]:
    found = _READERS.get((stream.type, stream.field))
    if found is None:
        known = "; ".join(f"{field} of {kind}" for kind, field in _READERS)
        raise ValueError(f"contract: '{stream.name}' wants {stream.field} of {stream.type}, known are {known}")
    return found
