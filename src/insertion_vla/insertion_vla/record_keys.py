"""Record episodes by keys: one letter each for start, stop, discard, success and failure.

calls:      episode/start, episode/stop, episode/label
subscribes: episode/status
"""

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from insertion_vla import qos
from insertion_vla_interfaces.msg import EpisodeStatus
from insertion_vla_interfaces.srv import LabelEpisode, StartEpisode, StopEpisode

HELP = "s start   e end   d discard   y success   n failure   q quit"
POLL_S = 0.1
ANSWER_S = 30.0  # a slow disk may take a while to finish a bag


class Keys(Node):
    """One service call per key."""

    def __init__(self) -> None:
        super().__init__("record_keys")
        start = self.create_client(StartEpisode, "episode/start")
        stop = self.create_client(StopEpisode, "episode/stop")
        label = self.create_client(LabelEpisode, "episode/label")
        self._orders: dict[str, tuple[Any, Any]] = {
            "s": (start, StartEpisode.Request()),
            "e": (stop, StopEpisode.Request()),
            "d": (stop, StopEpisode.Request(discard=True)),
            "y": (label, LabelEpisode.Request(outcome="success")),
            "n": (label, LabelEpisode.Request(outcome="failure")),
        }
        self.create_subscription(EpisodeStatus, "episode/status", self._on_status, qos.STATE)
        self._bad = ""

    def press(self, key: str, executor: SingleThreadedExecutor) -> None:
        """Do what a key stands for and tell what came of it."""
        if key not in self._orders:
            if key.strip():
                print(f"'{key}' is no key of this tool: {HELP}", flush=True)
            return
        client, request = self._orders[key]
        if not client.wait_for_service(2.0):
            print(f"{client.srv_name} is not there: start the recorder (record.launch.py)", flush=True)
            return
        future = client.call_async(request)
        executor.spin_until_future_complete(future, timeout_sec=ANSWER_S)
        if not future.done():
            print(f"{client.srv_name} did not answer within {ANSWER_S:g} s: check the recorder", flush=True)
            return
        answer = future.result()
        print(answer.message if answer.success else f"refused: {answer.message}", flush=True)

    def _on_status(self, message: EpisodeStatus) -> None:
        bad = message.reason if message.bad or message.state == EpisodeStatus.REFUSED else ""
        if bad and bad != self._bad:
            print(f"warning: {bad}", flush=True)
        self._bad = bad


@contextmanager
def _single_keys() -> Iterator[None]:
    """The terminal gives every key at once, while it is one."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def main() -> int:
    """Runs until q, the end of the input, SIGINT or SIGTERM."""
    if foreign := remove_ros_args(sys.argv)[1:]:
        print(f"record_keys: expected nothing but --ros-args, got '{foreign[0]}'; its keys: {HELP}", file=sys.stderr)
        return 2
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Keys()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    with _single_keys():
        print(HELP, flush=True)
        while not ended.is_set():
            executor.spin_once(timeout_sec=POLL_S)
            if not select.select([sys.stdin], [], [], 0.0)[0]:
                continue
            key = os.read(sys.stdin.fileno(), 1).decode(errors="replace")  # unbuffered, as select sees it
            if key in ("", "q"):
                break
            node.press(key, executor)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
