"""Measure the rate of a topic, printed every second, from the receive times of the middleware."""

import math
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import deque

from rosbag2_py._raw_subscriptions import GATHER_S, RawSubscriptions

from ros2cli.graph import add_discovery_arguments, cli_node
from ros2cli.interfaces import load_type
from ros2cli.qos import add_qos_arguments, subscription_qos
from ros2cli.verbs.topic._find import find_type

DEFAULT_WINDOW = 10000
REPORT_EVERY_S = 1.0


def window_size(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"expected a number of messages above 0, got '{text}'")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("topic_name")
    parser.add_argument("-w", "--window", type=window_size, default=DEFAULT_WINDOW, help="messages to average over")
    parser.add_argument("--wall-time", action="store_true", help="accepted: wall time is always used")
    add_qos_arguments(parser)
    add_discovery_arguments(parser)


class Intervals:
    """Times between messages over a window."""

    def __init__(self, window: int) -> None:
        self.times_s: deque[float] = deque(maxlen=window)
        self._intervals: deque[float] = deque(maxlen=max(1, window - 1))

    def add(self, receive_ns: int) -> None:
        stamp_s = receive_ns * 1e-9
        if self._started():
            self._intervals.append(stamp_s - self._last_s)
        self._last_s = stamp_s
        self.times_s.append(stamp_s)

    def _started(self) -> bool:
        return bool(self.times_s)

    def report(self) -> str | None:
        """Upstream's two lines, None before the second message."""
        intervals = self._intervals
        if not intervals:
            return None
        mean = sum(intervals) / len(intervals)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in intervals) / len(intervals))
        rate = 1.0 / mean if mean > 0 else 0.0
        return (
            f"average rate: {rate:.3f}\n\tmin: {min(intervals):.3f}s max: {max(intervals):.3f}s "
            f"std dev: {deviation:.5f}s window: {len(intervals) + 1}"
        )


def main(args: Namespace) -> int:
    with cli_node(args.spin_time) as cli:
        topic = cli.full_name(args.topic_name)
        message_type = load_type("message", find_type(cli, topic))
        offered = [info.qos_profile for info in cli.node.get_publishers_info_by_topic(topic)]
        subscriptions = RawSubscriptions(cli.node)
        subscriptions.add(topic, message_type, subscription_qos(args, offered))
        intervals = Intervals(args.window)
        next_report_s = time.monotonic() + REPORT_EVERY_S
        last_count = total = 0
        while True:
            if subscriptions.take(0.1, lambda _topic, _data, receive_ns, *_: intervals.add(receive_ns)):
                total += 1
                time.sleep(GATHER_S)
            cli.check_interrupt()
            if time.monotonic() < next_report_s:
                continue
            next_report_s += REPORT_EVERY_S
            report = intervals.report()
            if total == last_count:
                print("no new messages", flush=True)
            elif report is not None:
                print(report, flush=True)
            last_count = total
