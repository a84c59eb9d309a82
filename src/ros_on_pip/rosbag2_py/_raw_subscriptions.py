"""Serialized messages of many topics at low cost.

An rclpy executor spends a few hundred microseconds of Python on every message. Here one wait covers all
subscriptions, and everything that has arrived by then is taken at once.
"""

import time
from collections.abc import Callable
from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

# How long arrivals may gather before they are taken together. Receive times come from the middleware, and the
# subscriptions' depth holds hundreds of times as much.
GATHER_S = 0.004
UNSUPPORTED = (1 << 64) - 1  # what the middleware gives for a sequence number that it does not know

OnMessage = Callable[[str, bytes, int, int, int | None], None]


class RawSubscriptions:
    """Subscriptions of a node that no executor spins."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscriptions: dict[int, tuple[str, Subscription]] = {}
        self._wait_set: Any = None

    def add(self, topic: str, message_type: Any, qos: QoSProfile) -> Subscription:
        subscription = self._node.create_subscription(message_type, topic, lambda message: None, qos, raw=True)
        self._subscriptions[subscription.handle.pointer] = (topic, subscription)
        self._wait_set = None
        return subscription

    def remove(self, topic: str) -> None:
        for pointer, (name, subscription) in list(self._subscriptions.items()):
            if name == topic:
                del self._subscriptions[pointer]
                self._node.destroy_subscription(subscription)
        self._wait_set = None

    def take(self, timeout_s: float, on_message: OnMessage) -> int:
        """Wait for messages and hand all of them over; returns their number.

        `on_message(topic, data, receive_ns, publish_ns, sequence)` gets the publisher's sequence number where the
        middleware knows it.
        """
        if not self._subscriptions:
            time.sleep(timeout_s)
            return 0
        if self._wait_set is None:
            context = self._node.context.handle
            self._wait_set = _rclpy.WaitSet(len(self._subscriptions), 0, 0, 0, 0, 0, context)
        self._wait_set.clear_entities()
        for _, subscription in self._subscriptions.values():
            self._wait_set.add_subscription(subscription.handle)
        self._wait_set.wait(int(timeout_s * 1e9))
        ready = self._wait_set.get_ready_entities("subscription")
        return sum(self._drain(*self._subscriptions[pointer], on_message) for pointer in ready)

    @staticmethod
    def _drain(topic: str, subscription: Subscription, on_message: OnMessage) -> int:
        count = 0
        handle = subscription.handle
        with handle:
            while (taken := handle.take_message(subscription.msg_type, True)) is not None:
                data, info = taken
                receive_ns = info["received_timestamp"] or time.time_ns()
                sequence = info["publication_sequence_number"]
                on_message(
                    topic,
                    data,
                    receive_ns,
                    info["source_timestamp"] or receive_ns,
                    None if sequence in (None, UNSUPPORTED) else sequence,
                )
                count += 1
        return count
