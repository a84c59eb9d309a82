"""What `record` and `play` share."""

import signal
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from rclpy.qos import QoSProfile
from rosbag2_py._qos import qos_from_dict

from ros2cli.errors import CommandError

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


def add_common_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-s", "--storage", choices=["mcap"], default="mcap", help="storage format")
    parser.add_argument(
        "--qos-profile-overrides-path", type=Path, metavar="FILE", help="YAML: topic to QoS policies used for it"
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info")
    parser.add_argument("--disable-keyboard-controls", action="store_true", help="accepted: there are none")


def read_qos_overrides(path: Path | None) -> dict[str, QoSProfile]:
    """QoS per topic from a YAML file."""
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {topic: qos_from_dict(policies) for topic, policies in content.items()}
    except (OSError, yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise CommandError(f"expected topics with QoS policies in {path}: {' '.join(str(error).split())}") from error


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop`: the end that was asked for, so the exit code stays 0."""
    previous = {number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
