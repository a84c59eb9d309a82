"""Options of recording and playing, and the node they run on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.logging import get_logging_severity_from_string
from rclpy.node import Node
from rclpy.qos import QoSProfile


@dataclass
class RecordOptions:
    """What to record. Options of upstream that are not here are refused by their name."""

    all_topics: bool = False
    is_discovery_disabled: bool = False
    topics: list[str] = field(default_factory=list)
    topic_types: list[str] = field(default_factory=list)
    rmw_serialization_format: str = "cdr"
    topic_polling_interval: timedelta = timedelta(milliseconds=100)
    regex: str = ""
    exclude_regex: str = ""
    exclude_topics: list[str] = field(default_factory=list)
    exclude_topic_types: list[str] = field(default_factory=list)
    compression_mode: str = ""
    compression_format: str = ""
    topic_qos_profile_overrides: dict[str, QoSProfile] = field(default_factory=dict)
    include_hidden_topics: bool = False
    include_unpublished_topics: bool = False
    disable_keyboard_controls: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_unknown(self, name)
        super().__setattr__(name, value)


@dataclass
class PlayOptions:
    """What to play and how. Options of upstream that are not here are refused by their name."""

    read_ahead_queue_size: int = 1000
    rate: float = 1.0
    topics_to_filter: list[str] = field(default_factory=list)
    regex_to_filter: str = ""
    exclude_regex_to_filter: str = ""
    exclude_topics_to_filter: list[str] = field(default_factory=list)
    topic_qos_profile_overrides: dict[str, QoSProfile] = field(default_factory=dict)
    loop: bool = False
    topic_remapping_options: list[str] = field(default_factory=list)
    clock_publish_frequency: float = 0.0
    delay: float = 0.0
    playback_duration: float = -1.0
    start_paused: bool = False
    start_offset: float = 0.0
    disable_keyboard_controls: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_unknown(self, name)
        super().__setattr__(name, value)


def _refuse_unknown(options: Any, name: str) -> None:
    known = [entry.name for entry in fields(options)]
    if name not in known:
        raise AttributeError(f"{type(options).__name__}.{name} is not supported here; supported are {', '.join(known)}")


def check_log_level(log_level: str) -> None:
    """Raises RuntimeError for a word that is no log level."""
    try:
        get_logging_severity_from_string(log_level.upper())
    except Exception as error:
        raise RuntimeError(f"expected a log level (debug, info, warn, error, fatal), got '{log_level}'") from error


@contextmanager
def own_node(name: str, log_level: str, arguments: list[str] | None = None) -> Iterator[Node]:
    """A node in a context of its own, so that a recorder or player also runs inside another program's thread."""
    context = Context()
    context.init(args=[])
    node = Node(
        name,
        context=context,
        cli_args=["--ros-args", *arguments] if arguments else None,
        use_global_arguments=False,
        start_parameter_services=False,
    )
    try:
        node.get_logger().set_level(get_logging_severity_from_string(log_level.upper()))
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
