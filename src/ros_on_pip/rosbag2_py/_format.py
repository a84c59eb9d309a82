"""A bag's metadata as text, the way `ros2 bag info` shows it."""

from datetime import datetime

from rosbag2_py._storage import BagMetadata

LABEL_WIDTH = 19
NS_PER_S = 10**9
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
SERVICE_EVENT_SUFFIX = "/_service_event"


def format_file_size(size: int) -> str:
    """For example '5.1 KiB'."""
    power = 0
    while size >= 1024 ** (power + 1) and power < len(UNITS) - 1:
        power += 1
    return f"{size / 1024**power:.1f} {UNITS[power]}" if power else f"{size} B"


def format_seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // NS_PER_S}.{nanoseconds % NS_PER_S:09d}"


def format_time(nanoseconds: int) -> str:
    """Local date and time, and seconds since the epoch."""
    date = datetime.fromtimestamp(nanoseconds // NS_PER_S)
    stamp = f"{date:%b} {date.day:2d} {date:%Y %H:%M:%S}.{nanoseconds % NS_PER_S:09d}"
    return f"{stamp} ({format_seconds(nanoseconds)})"


def format_bag_metadata(metadata: BagMetadata) -> str:
    start = metadata.starting_time.nanoseconds
    duration = metadata.duration.nanoseconds
    topics = [t for t in metadata.topics_with_message_count if not t.topic_metadata.name.endswith(SERVICE_EVENT_SUFFIX)]
    rows = [
        ("Files:", _column(metadata.relative_file_paths)),
        ("Bag size:", format_file_size(metadata.bag_size)),
        ("Storage id:", metadata.storage_identifier),
        ("ROS Distro:", metadata.ros_distro or "unknown"),
        ("Duration:", f"{format_seconds(duration)}s"),
        ("Start:", format_time(start)),
        ("End:", format_time(start + duration)),
        ("Messages:", str(metadata.message_count)),
        (
            "Topic information:",
            _column(
                [
                    f"Topic: {t.topic_metadata.name} | Type: {t.topic_metadata.type} | Count: {t.message_count} | "
                    f"Serialization Format: {t.topic_metadata.serialization_format}"
                    for t in sorted(topics, key=lambda t: t.topic_metadata.name)
                ]
            ),
        ),
        ("Services:", str(len(metadata.topics_with_message_count) - len(topics))),
        ("Service information:", ""),
    ]
    return "\n" + "".join(f"{label:<{LABEL_WIDTH}}{text}\n" for label, text in rows)


def _column(lines: list[str]) -> str:
    """Lines under one label."""
    return ("\n" + " " * LABEL_WIDTH).join(lines)
