"""QoS options of the topic verbs."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPresetProfiles, QoSProfile, ReliabilityPolicy

# Enough for one second of a fast sensor while a terminal is slow.
DEFAULT_DEPTH = 1000


def _keys(policy: type) -> list[str]:
    return [key for key in policy.short_keys() if key != "unknown"]


def add_qos_arguments(parser: ArgumentParser) -> None:
    presets = [key for key in QoSPresetProfiles.short_keys() if key != "unknown"]
    parser.add_argument("--qos-profile", choices=presets, help="start from a preset")
    parser.add_argument("--qos-depth", type=int, metavar="N", help="length of the queue")
    parser.add_argument("--qos-history", choices=_keys(HistoryPolicy))
    parser.add_argument("--qos-reliability", choices=_keys(ReliabilityPolicy))
    parser.add_argument("--qos-durability", choices=_keys(DurabilityPolicy))


def _apply(args: Namespace, profile: QoSProfile) -> QoSProfile:
    if args.qos_profile:
        preset = QoSPresetProfiles.get_from_short_key(args.qos_profile)
        profile = QoSProfile(
            depth=preset.depth or profile.depth, reliability=preset.reliability, durability=preset.durability
        )
    if args.qos_depth is not None:
        profile.depth = args.qos_depth
    if args.qos_history:
        profile.history = HistoryPolicy.get_from_short_key(args.qos_history)
    if args.qos_reliability:
        profile.reliability = ReliabilityPolicy.get_from_short_key(args.qos_reliability)
    if args.qos_durability:
        profile.durability = DurabilityPolicy.get_from_short_key(args.qos_durability)
    return profile


def subscription_qos(args: Namespace | None, offered: Sequence[QoSProfile]) -> QoSProfile:
    """What all present publishers can serve, changed by the options where any are given."""
    reliable = bool(offered) and all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    latched = bool(offered) and all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    profile = QoSProfile(
        depth=DEFAULT_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
    return profile if args is None else _apply(args, profile)


def publisher_qos(args: Namespace) -> QoSProfile:
    """Reliable and volatile unless the options say otherwise."""
    return _apply(args, QoSProfile(depth=10))
