"""Serialized messages of many topics at little cost: one wait for all of them, then everything that came is taken.

An rclpy executor spends some 0.3 ms of Python on every message; here a bunch of messages shares one wait. Receive times
are the middleware's, so gathering does not shift them, and the depth of the subscriptions holds seconds of messages.
"""

import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

GATHER_S = 0.02  # messages may gather this long
WAIT_S = 0.1  # after which the thread looks whether it shall end
DEPTH = 2000  # 3 s of a 650 Hz topic
UNKNOWN_SEQUENCE = (0, (1 << 64) - 1, None)  # of a middleware that does not number messages


class Received(NamedTuple):
    """One message: its absolute topic, its CDR bytes, the wall clock at reception [ns], its publisher's number of it.

    The number is None where it says nothing: it is unknown, or several publishers count.
    """

    topic: str
    data: bytes
    receive_ns: int
    sequence: int | None


class _NotOfTheExecutor(CallbackGroup):
    """Subscriptions that the node's executor leaves alone."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


def fitting(offered: Sequence[QoSProfile]) -> QoSProfile:
    """The strongest subscription that all these publishers can serve."""
    reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


class Reception:
    """Raw subscriptions of a node, and the thread that takes their messages.

    Args:
        node: it creates and destroys the subscriptions.
        on_messages: called in the thread with every bunch, in the order of reception.

    Attributes:
        crash: the exception that ended the thread; empty while all is well.
    """

    def __init__(self, node: Node, on_messages: Callable[[list[Received]], None]) -> None:
        self.crash = ""
        self._node = node
        self._on_messages = on_messages
        self._group = _NotOfTheExecutor()
        self._subscriptions: dict[str, Subscription] = {}  # replaced, never changed: the thread may hold the old one
        self._numbered: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reception", daemon=True)
        self._thread.start()

    def add(self, topic: str, kind: Any, profile: QoSProfile) -> None:
        """Subscribe to an absolute topic; called in the executor's thread."""
        subscription = self._node.create_subscription(
            kind, topic, lambda message: None, profile, raw=True, callback_group=self._group
        )
        self._subscriptions = {**self._subscriptions, topic: subscription}

    def look(self) -> None:
        """Find the topics with one publisher: only there its numbers tell what was lost. Called twice a second."""
        subscriptions = self._subscriptions.items()
        self._numbered = frozenset(topic for topic, held in subscriptions if held.get_publisher_count() == 1)

    def close(self) -> None:
        """End the thread and the subscriptions; called in the executor's thread."""
        self._stop.set()
        self._thread.join()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)

    def _run(self) -> None:
        known: dict[str, Subscription] = {}
        wait_set: Any = None
        try:
            while not self._stop.is_set():
                if known is not self._subscriptions or wait_set is None:
                    known = self._subscriptions
                    topics = {subscription.handle.pointer: topic for topic, subscription in known.items()}
                    wait_set = rclpy_implementation.WaitSet(len(known), 0, 0, 0, 0, 0, self._node.context.handle)
                if not known:
                    self._stop.wait(WAIT_S)
                    continue
                wait_set.clear_entities()
                for subscription in known.values():
                    wait_set.add_subscription(subscription.handle)
                wait_set.wait(int(WAIT_S * 1e9))
                came: list[Received] = []
                for pointer in wait_set.get_ready_entities("subscription"):
                    topic = topics[pointer]
                    _take_all(topic, known[topic], topic in self._numbered, came)
                if came:
                    came.sort(key=_receive_ns)
                    self._on_messages(came)
                    self._stop.wait(GATHER_S)
        except Exception as error:
            self.crash = f"reception ended: {type(error).__name__}: {error}"
            self._node.get_logger().error(f"{self.crash}\n{traceback.format_exc()}")


def _receive_ns(message: Received) -> int:
    return message.receive_ns


def _take_all(topic: str, subscription: Subscription, numbered: bool, came: list[Received]) -> None:
    handle = subscription.handle
    with handle:
        while (taken := handle.take_message(subscription.msg_type, True)) is not None:
            data, info = taken
            sequence = info["publication_sequence_number"]
            known = numbered and sequence not in UNKNOWN_SEQUENCE
            came.append(Received(topic, data, info["received_timestamp"], sequence if known else None))
