"""What a bag holds of the run of a policy: features, chunks, force, and what the arm made of them.

Topics are found by their types, so that a bag of any namespace or remapping, with or without an episode's metadata, can
be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_policy.feature_message import features_from_message
from numpy.typing import NDArray

from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.reader import BagReader

NS = 1e9
TYPES = {
    "chunks": "insertion_vla_interfaces/msg/ActionChunk",
    "features": "insertion_vla_interfaces/msg/VLFeatures",
    "arm": "insertion_vla_interfaces/msg/ArmState",
    "force": "insertion_vla_interfaces/msg/ForceSamples",
}
Stamps = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Chunk:
    """One chunk: stamp of its observation and time of its receipt [ns], and what the message says."""

    stamp_ns: int
    receive_ns: int
    goal: str
    features_ns: int
    inference_s: float
    anchor: NDArray[np.float64]
    data: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """One feature set; `tokens` is None for features that were withdrawn or cannot be read."""

    stamp_ns: int
    receive_ns: int
    instruction: str
    inference_s: float
    tokens: NDArray[np.float32] | None


@dataclass(eq=False)
class BagLog:
    """A bag.

    Attributes:
        name: of the bag.
        start_ns: receipt of its first message.
        chunks, features: in the order of receipt.
        arm: (chunks_rejected, missed_deadlines) of each arm state.
        force_stamps, force_n: of every sample.
        policies: that gave chunks.
    """

    name: str
    start_ns: int
    chunks: list[Chunk] = field(default_factory=list)
    features: list[FeatureSet] = field(default_factory=list)
    arm: list[tuple[int, int]] = field(default_factory=list)
    force_stamps: list[Stamps] = field(default_factory=list)
    force_n: list[NDArray[np.float32]] = field(default_factory=list)
    policies: set[str] = field(default_factory=set)


def read_bag(path: Path) -> BagLog:
    """Read a bag.

    Raises:
        BagError: it is none, is damaged, or no policy acted in it.
    """
    reader = BagReader(path)
    log = BagLog(reader.name, reader.span_ns()[0])
    topics = {name: part for part, kind in TYPES.items() if (name := _topic(reader, kind))}
    if "chunks" not in topics.values():
        raise BagError(
            f"expected a topic of {TYPES['chunks']} in {path}, there are {', '.join(reader.topics()) or 'none'}: "
            "record action_expert/chunk too"
        )
    take: dict[str, Callable[[Any, int], None]] = {
        "chunks": lambda message, receive_ns: _chunk(log, message, receive_ns),
        "features": lambda message, receive_ns: _features(log, message, receive_ns),
        "arm": lambda message, _: log.arm.append((int(message.chunks_rejected), int(message.missed_deadlines))),
        "force": lambda message, _: _force(log, message),
    }
    for message in reader.messages(topics):
        take[topics[message.topic]](reader.decode(message), message.receive_ns)
    if not log.chunks:
        raise BagError(f"expected chunks in {path}, there are none: record while a goal runs")
    return log


def _topic(reader: BagReader, kind: str) -> str | None:
    names = [name for name, topic in reader.topics().items() if topic.type == kind]
    if len(names) > 1:
        raise BagError(
            f"expected one topic of {kind} in {reader.path}, got {', '.join(names)}: record the graphs apart"
        )
    return names[0] if names else None


def _chunk(log: BagLog, message: Any, receive_ns: int) -> None:
    rows, columns = int(message.horizon), int(message.dim)
    if len(message.data) != rows * columns:
        raise BagError(f"{log.name}: expected a chunk of {rows} x {columns} numbers, got {len(message.data)}")
    p = message.anchor.position
    log.policies.add(message.policy_id)
    log.chunks.append(
        Chunk(
            _ns(message.header.stamp), receive_ns, f"{message.session_id} {message.goal_id}",
            _ns(message.features_stamp), float(message.inference_time), np.array([p.x, p.y, p.z]),
            np.array(message.data, np.float32).reshape(rows, columns),
        )
    )  # fmt: skip


def _features(log: BagLog, message: Any, receive_ns: int) -> None:
    try:
        features = features_from_message(message)
    except ValueError:
        features = None  # as the live node takes it
    stamp_ns, instruction = _ns(message.header.stamp), message.instruction
    tokens = features.tokens if features else None
    log.features.append(FeatureSet(stamp_ns, receive_ns, instruction, float(message.inference_time), tokens))


def _force(log: BagLog, message: Any) -> None:
    log.force_stamps.append(np.array(message.stamps, np.int64))
    log.force_n.append(np.array(message.force, np.float32))


def _ns(time: Any) -> int:
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)
