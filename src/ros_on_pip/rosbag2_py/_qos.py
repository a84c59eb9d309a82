"""QoS profiles as they are written into bags."""

from collections.abc import Sequence
from typing import Any

import yaml
from rclpy.duration import Duration, Infinite
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

NS_PER_S = 10**9
# Fast DDS does not tell a publisher's history; this one holds 1.5 s of a 650 Hz topic.
DEFAULT_DEPTH = 1000
# A recorder that does not get the processor must not lose: 7 s of 650 Hz. Only waiting messages take memory.
RECORDING_DEPTH = 5000
_POLICIES = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
    "liveliness": LivelinessPolicy,
}
_DURATIONS = ("deadline", "lifespan", "liveliness_lease_duration")


def qos_to_dict(qos: QoSProfile) -> dict[str, Any]:
    """A profile in the form of metadata.yaml, version 9."""

    def seconds(duration: Duration) -> dict[str, int]:
        # An unset duration is zero in rclpy and 'infinite' in bags.
        nanoseconds = duration.nanoseconds or Infinite.nanoseconds
        return {"sec": nanoseconds // NS_PER_S, "nsec": nanoseconds % NS_PER_S}

    return {
        "history": qos.history.name.lower(),
        "depth": qos.depth,
        "reliability": qos.reliability.name.lower(),
        "durability": qos.durability.name.lower(),
        "deadline": seconds(qos.deadline),
        "lifespan": seconds(qos.lifespan),
        "liveliness": qos.liveliness.name.lower(),
        "liveliness_lease_duration": seconds(qos.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": qos.avoid_ros_namespace_conventions,
    }


def qos_from_dict(values: dict[str, Any]) -> QoSProfile:
    """The profile of such a mapping; policies may be names or, before version 9, numbers."""
    policies = {key: _policy(key, values[key]) for key in _POLICIES if key in values}
    if policies.get("history") not in (HistoryPolicy.KEEP_LAST, HistoryPolicy.KEEP_ALL):
        policies["history"] = HistoryPolicy.KEEP_LAST
    qos = QoSProfile(depth=int(values.get("depth", 0)) or DEFAULT_DEPTH, **policies)
    for name in _DURATIONS:
        if name in values:
            total = int(values[name]["sec"]) * NS_PER_S + int(values[name]["nsec"])
            if 0 < total < Infinite.nanoseconds:
                setattr(qos, name, Duration(nanoseconds=total))
    return qos


def _policy(key: str, value: Any) -> Any:
    kind = _POLICIES[key]
    try:
        return kind(value) if isinstance(value, int) else kind[str(value).upper()]
    except (KeyError, ValueError) as error:
        raise RuntimeError(f"expected a {key} policy in a QoS profile, got '{value}'") from error


def profiles_from_text(text: str) -> list[QoSProfile]:
    """Profiles of a YAML list, as in an MCAP channel and in metadata before version 9; empty text has none."""
    return [qos_from_dict(entry) for entry in yaml.safe_load(text or "[]") or []]


def profiles_to_text(profiles: Sequence[QoSProfile]) -> str:
    return yaml.safe_dump([qos_to_dict(qos) for qos in profiles], sort_keys=False) if profiles else ""


def recording_qos(offered: Sequence[QoSProfile]) -> QoSProfile:
    """A subscription that every one of these publishers can serve, with the strongest guarantees they share."""
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    return QoSProfile(
        depth=RECORDING_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if offered and reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if offered and latched else DurabilityPolicy.VOLATILE,
    )


def playback_qos(offered: Sequence[QoSProfile]) -> QoSProfile:
    """The publisher for a recorded topic: as strong as all its publishers were, reliable where nothing is known."""
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    latched = bool(offered) and all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    return QoSProfile(
        depth=max([DEFAULT_DEPTH, *(qos.depth for qos in offered)]),
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
