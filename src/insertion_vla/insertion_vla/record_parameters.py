"""The parameters of every node of the graph, asked through their services; nothing waits for an answer."""

import math
from functools import partial
from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.callback_groups import CallbackGroup
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.task import Future


class GraphParameters:
    """Parameters of the nodes in the namespace of `node`. Everything runs in the executor's thread.

    Attributes:
        values: parameters by the name of their node, relative to the namespace; those of the newest answers.
    """

    def __init__(self, node: Node, group: CallbackGroup) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self._node = node
        self._group = group
        self._clients: dict[str, tuple[Client, Client]] = {}  # by the full name of a node
        self._asked: set[str] = set()

    def refresh(self) -> None:
        """Ask every node anew."""
        self._asked = set()
        self.poll()

    def poll(self) -> None:
        """Ask the nodes that were not asked yet, as soon as their services are there; called twice a second."""
        here = self._node.get_namespace().rstrip("/") + "/"
        nodes = self._node.get_node_names_and_namespaces()
        present = {f"{namespace.rstrip('/')}/{name}" for name, namespace in nodes}
        self._asked &= present
        self.values = {name: values for name, values in self.values.items() if here + name in present}
        for name in sorted(name for name in present - self._asked if name.startswith(here)):
            if name not in self._clients:
                create = partial(self._node.create_client, callback_group=self._group)
                self._clients[name] = (
                    create(ListParameters, f"{name}/list_parameters"),
                    create(GetParameters, f"{name}/get_parameters"),
                )
            names, values = self._clients[name]
            if names.service_is_ready() and values.service_is_ready():
                self._asked.add(name)
                names.call_async(ListParameters.Request()).add_done_callback(partial(self._on_names, name))

    def close(self) -> None:
        """Ask nothing more."""
        for pair in self._clients.values():
            for client in pair:
                self._node.destroy_client(client)
        self._clients = {}

    def _on_names(self, name: str, future: Future) -> None:
        answer = future.result()
        if answer is not None and name in self._clients:
            asked = list(answer.result.names)
            future = self._clients[name][1].call_async(GetParameters.Request(names=asked))
            future.add_done_callback(partial(self._on_values, name, asked))

    def _on_values(self, name: str, asked: list[str], future: Future) -> None:
        answer = future.result()
        if answer is not None and len(answer.values) == len(asked):
            here = self._node.get_namespace().rstrip("/") + "/"
            pairs = zip(asked, answer.values, strict=True)
            values = {key: _plain(parameter_value_to_python(value)) for key, value in pairs}
            self.values[name.removeprefix(here)] = {key: v for key, v in sorted(values.items()) if v is not None}


def _plain(value: Any) -> Any:
    """The value as JSON knows it; None for what has none, and for numbers that are not finite."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    items = [_plain(item) for item in (value.tolist() if hasattr(value, "tolist") else list(value))]
    return None if None in items else items
