"""Rows of the contract's streams out of ROS messages, the same for live messages and for those read from a bag.

Messages are recognised by the stream's type and read by their fields; this module imports no ROS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from insertion_vla_core.aline import surface_distances
from insertion_vla_core.contract import Contract, Stream
from insertion_vla_core.geometry import Array
from insertion_vla_core.ring import Stamps


def rows_of(stream: Stream, message: Any) -> tuple[Stamps, Array]:
    """Stamps (n,) [ns] and rows (n, C) float64 of one message of the stream's topic.

    Raises:
        ValueError: the message lacks what the contract names.
    """
    return _READERS[stream.type, stream.field](stream, message)


def check_extractable(contract: Contract) -> None:
    """Refuse streams whose type and field nobody here can read.

    Raises:
        ValueError: names them and what is known.
    """
    wrong = [s for s in contract.observations if not s.payload and (s.type, s.field) not in _READERS]
    if wrong:
        known = ", ".join(f"{kind} '{field}'" for kind, field in _READERS)
        names = ", ".join(f"'{s.name}' ({s.type} '{s.field}')" for s in wrong)
        raise ValueError(f"expected observations out of {known}, got {names}; correct type or field in the contract")


def _stamp(message: Any) -> Stamps:
    stamp = message.header.stamp
    return np.array([stamp.sec * 1_000_000_000 + stamp.nanosec], np.int64)


def _joints(stream: Stream, message: Any) -> tuple[Stamps, Array]:
    names = list(message.name)
    values = np.asarray(getattr(message, stream.field), dtype=np.float64)
    missing = [channel for channel in stream.channels if channel not in names]
    if missing or len(values) != len(names):
        raise ValueError(
            f"expected joints {', '.join(stream.channels)} with a {stream.field} each, "
            f"got {len(values)} for {', '.join(names) or 'no joints'}"
        )
    return _stamp(message), values[[names.index(channel) for channel in stream.channels]][None]


def _pose(stream: Stream, message: Any) -> tuple[Stamps, Array]:
    p, o = message.pose.position, message.pose.orientation
    return _stamp(message), np.array([[p.x, p.y, p.z, o.x, o.y, o.z, o.w]], np.float64)


def _force(stream: Stream, message: Any) -> tuple[Stamps, Array]:
    stamps = np.array(message.stamps, np.int64)
    force = np.array(message.force, np.float64)
    if force.shape != stamps.shape:
        raise ValueError(f"expected a stamp for each force sample, got {len(stamps)} for {len(force)}")
    return stamps, force[:, None]


def _surface(stream: Stream, message: Any) -> tuple[Stamps, Array]:
    stamps = np.array(message.stamps, np.int64)
    bins = int(message.aline_bins)
    if bins == 0:
        return np.empty(0, np.int64), np.empty((0, 1))
    lines = np.asarray(message.alines, np.float32)
    if len(lines) != bins * len(stamps):
        raise ValueError(f"expected {len(stamps)} A-lines of {bins} bins, got {len(lines)} numbers")
    return stamps, surface_distances(lines.reshape(len(stamps), bins))[:, None]


_READERS: dict[tuple[str, str], Callable[[Stream, Any], tuple[Stamps, Array]]] = {
    ("sensor_msgs/msg/JointState", "position"): _joints,
    ("sensor_msgs/msg/JointState", "velocity"): _joints,
    ("geometry_msgs/msg/PoseStamped", "pose"): _pose,
    ("insertion_vla_interfaces/msg/ForceSamples", "force"): _force,
    ("insertion_vla_interfaces/msg/ForceSamples", "alines"): _surface,
}
