"""Hears fast topics in a thread of their own, without an executor.

An executor of rclpy builds its wait set anew at every message, out of every entity of its nodes: behind the arm node's
thirty services, publishers and timers, 650 messages per second cost a fifth of a core. Here a wait set holds nothing
but these subscriptions and all that has come is taken at once, as in rclpy's own `wait_for_message`; and no other
callback keeps a stop waiting.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

LOOK_UP_NS = 200_000_000  # how long a silent thread takes to notice that the context has ended


class Heard(NamedTuple):
    """One subscription of a listener.

    ``callback(message, info)`` runs in the listener's thread; ``info["received_timestamp"]`` is wall time in ns. A raw
    message is bytes, as it was sent.
    """

    kind: type
    topic: str
    callback: Callable[[Any, dict[str, Any]], None]
    profile: QoSProfile
    raw: bool = False


class Listener:
    """Calls the callbacks of its subscriptions in its thread, one at a time."""

    def __init__(
        self, node: Node, name: str, subscriptions: Sequence[Heard], on_crash: Callable[[BaseException], Any]
    ) -> None:
        """Topics are remapped as the node would remap them; ``on_crash`` gets what a callback raised."""
        self._on_crash = on_crash
        self._node = Node(
            f"_{node.get_name()}_{name}",  # the underscore hides it from `ros2 node list`
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self._subscriptions = [
            self._node.create_subscription(
                heard.kind, node.resolve_topic_name(heard.topic), heard.callback, heard.profile, raw=heard.raw
            )
            for heard in subscriptions
        ]
        self._woken = self._node.create_guard_condition(lambda: None)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; no callback runs after this."""
        self._closed = True
        self._woken.trigger()
        self._thread.join()
        self._node.destroy_node()

    def _run(self) -> None:
        context = self._node.context
        waiting = rclpy_implementation.WaitSet(len(self._subscriptions), 1, 0, 0, 0, 0, context.handle)
        while not self._closed and context.ok():
            waiting.clear_entities()
            for subscription in self._subscriptions:
                waiting.add_subscription(subscription.handle)
            waiting.add_guard_condition(self._woken.handle)
            waiting.wait(LOOK_UP_NS)
            for subscription in self._subscriptions:
                try:
                    self._take_all(subscription)
                except Exception as error:
                    self._on_crash(error)

    def _take_all(self, subscription: Any) -> None:
        take, kind, callback = subscription.handle.take_message, subscription.msg_type, subscription.callback
        while not self._closed and (taken := take(kind, subscription.raw)) is not None:
            callback(*taken)
