"""A short-lived node and what it sees of the ROS graph, without a daemon."""

import difflib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import rclpy
from rclpy.exceptions import InvalidTopicNameException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_full_topic_name import validate_full_topic_name

from ros2cli.errors import CommandError

T = TypeVar("T")

NODE_PREFIX = "_ros2cli"
UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"  # what rmw says of an endpoint before it knows the node
# On a loaded machine a new participant is seen only after two seconds.
FIND_TIMEOUT_S = 5.0
POLL_S = 0.01
# Listing waits until nothing new has been seen for a while; an empty graph is believed later than a full one.
QUIET_S = 0.4
EMPTY_AFTER_S = 3.0
LIST_AT_MOST_S = 6.0


def add_discovery_arguments(parser: Any) -> None:
    """Options that upstream's verbs share; there is no daemon, so asking for none is always granted."""
    parser.add_argument("--no-daemon", action="store_true", help="accepted: no daemon is ever used")
    parser.add_argument("--spin-time", type=float, metavar="SECONDS", help="how long to look for nodes and topics")


@contextmanager
def cli_node(spin_time: float | None = None) -> Iterator["CliNode"]:
    """A hidden node. ROS stays up on Ctrl-C and SIGTERM, so that a goal can still be canceled."""
    cli = CliNode(spin_time)
    previous = {number: signal.signal(number, cli.interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        cli.join_graph()
        yield cli
    finally:
        cli.leave_graph()
        for number, handler in previous.items():
            signal.signal(number, handler)


class CliNode:
    """An rclpy node with waits that end as soon as what they wait for is there."""

    def __init__(self, spin_time: float | None) -> None:
        self.node: Any = None
        self._spin_time = spin_time
        self._executor: SingleThreadedExecutor | None = None
        self._interrupted = False

    def join_graph(self) -> None:
        try:
            rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
            self.node = Node(f"{NODE_PREFIX}_{os.getpid()}", start_parameter_services=False, enable_rosout=False)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise CommandError(f"cannot join ROS domain '{os.environ.get('ROS_DOMAIN_ID', '0')}': {reason}") from error

    def leave_graph(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()
        if self.node is not None:
            self.node.destroy_node()
        rclpy.try_shutdown()

    def interrupt(self, number: int, frame: Any) -> None:
        """Signal handler. An exception from here could leave the executor in the middle of something."""
        self._interrupted = True

    def check_interrupt(self) -> None:
        """Raise the KeyboardInterrupt of a signal that has come, at a safe place; a second one counts again."""
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Sleep that a signal ends."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check_interrupt()
            time.sleep(min(left, POLL_S))
        self.check_interrupt()

    def find(self, look: Callable[[], T | None], timeout_s: float | None = None) -> T | None:
        """What `look` returns as soon as it is not None; None after the discovery timeout."""
        deadline = time.monotonic() + (timeout_s or self._spin_time or FIND_TIMEOUT_S)
        while (found := look()) is None and time.monotonic() < deadline:
            self.sleep(POLL_S)
        return found

    def settle(self) -> None:
        """Wait until discovery brings nothing new, or for --spin-time."""
        begin = last_change = time.monotonic()
        at_first = seen = self._snapshot()
        while True:
            self.sleep(POLL_S)
            now, current = time.monotonic(), self._snapshot()
            if current != seen:
                seen, last_change = current, now
            if self._spin_time is not None:
                if now - begin >= self._spin_time:
                    return
            elif now - begin >= LIST_AT_MOST_S:
                return
            elif now - last_change >= (EMPTY_AFTER_S if seen == at_first else QUIET_S) and not self._half_known():
                return

    def _snapshot(self) -> Any:
        node = self.node
        return (
            node.get_node_names_and_namespaces(),
            node.get_topic_names_and_types(),
            node.get_service_names_and_types(),
        )

    def _half_known(self) -> bool:
        """Whether a publisher is known whose node is not: the node's own announcement is on its way."""
        return any(
            info.node_name == UNKNOWN_NODE
            for topic, _ in self.node.get_topic_names_and_types()
            for info in self.node.get_publishers_info_by_topic(topic)
        )

    def spin_once(self, timeout_s: float = 0.1) -> None:
        """Run what is due; short waits, because a signal counts only between them."""
        if self._executor is None:
            self._executor = SingleThreadedExecutor()
            self._executor.add_node(self.node)
        self._executor.spin_once(timeout_sec=timeout_s)
        self.check_interrupt()

    def spin_until(self, future: Any, timeout_s: float | None = None) -> bool:
        """Spin until a future is done; False after the timeout."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not future.done():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self.spin_once(0.05)
        return True

    def node_names(self) -> list[str]:
        """Fully qualified names of all nodes but this one, sorted; several nodes of one name are listed as often."""
        pairs = self.node.get_node_names_and_namespaces()
        names = [f"{namespace.rstrip('/')}/{name}" for name, namespace in pairs]
        return sorted(name for name in names if name != self.node.get_fully_qualified_name())

    def find_node(self, name: str) -> str:
        """The fully qualified name of a node that is there; raises CommandError if it does not appear."""
        full = self.full_name(name)
        if self.find(lambda: full if full in self.node_names() else None) is None:
            raise not_found("node", full, self.node_names())
        return full

    @staticmethod
    def full_name(name: str) -> str:
        """The fully qualified form of a topic, service, action or node name; CommandError if it cannot be one."""
        full = name if name.startswith("/") else f"/{name}"
        try:
            validate_full_topic_name(full)
        except InvalidTopicNameException as error:
            raise CommandError(f"'{name}' is not a valid name: {str(error).splitlines()[0]}") from error
        return full


def is_hidden(name: str) -> bool:
    """Whether any part of a name starts with an underscore."""
    return any(part.startswith("_") for part in name.split("/") if part)


def not_found(kind: str, name: str, known: Iterable[str]) -> CommandError:
    """'no such ...' with the nearest known name."""
    # Our own client or subscription makes the name known too.
    names = sorted({entry for entry in known if not is_hidden(entry)} - {name})
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean '{near[0]}'?"
    elif names:
        hint = f"`ros2 {kind} list` shows the {len(names)} there are"
    else:
        hint = f"there are no {kind}s in ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
    return CommandError(f"no {kind} '{name}' found; {hint}")
