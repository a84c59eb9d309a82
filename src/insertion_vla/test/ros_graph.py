"""Nodes of a test on a ROS domain of their own, spun in one thread; waiting is on conditions with deadlines."""

import os

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

TIMEOUT_S = 10.0
_COUNT = itertools.count()


class Graph:
    """The test's own node and whatever nodes it adds, on one executor in a thread."""

    def __init__(self, domain_id: int) -> None:
        # A namespace per graph: the nodes of the test before may still be known to discovery.
        self.namespace = f"/t{os.getpid()}_{next(_COUNT)}"
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.node = Node("test_probe", context=self.context, namespace=self.namespace)
        self.executor.add_node(self.node)
        self._nodes: list[Node] = []
        self._thread = threading.Thread(target=self._spin, name="test executor", daemon=True)
        self._thread.start()

    def add(self, node_class: Callable[..., Any], **parameters: Any) -> Any:
        """Makes a node in this graph; the parameters are its overrides."""
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        # Entities made in __init__ must not be spun half-made: nodes are made in the executor's thread.
        node = self.call(
            lambda: node_class(context=self.context, namespace=self.namespace, parameter_overrides=overrides)
        )
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def remove(self, node: Any) -> None:
        """Makes a node vanish, as if its process had died."""
        self._nodes.remove(node)
        self.call(lambda: self._destroy(node))

    def call(self, function: Callable[[], Any]) -> Any:
        """Runs a function in the executor's thread and returns its result."""
        done, box = threading.Event(), []

        def work() -> None:
            try:
                box.append((True, function()))
            except BaseException as error:
                box.append((False, error))
            done.set()

        self.executor.create_task(work)
        assert done.wait(TIMEOUT_S), "the executor did not get to the call"
        good, value = box[0]
        if not good:
            raise value
        return value

    def ask(self, client: Any, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """Calls a service and returns the reply."""
        assert client.wait_for_service(timeout_s), f"{client.srv_name} did not appear"
        return self.result(client.call_async(request), timeout_s)

    def result(self, future: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """Waits for a future."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(timeout_s), "no answer"
        return future.result()

    def close(self) -> None:
        """Destroys everything."""
        for node in list(self._nodes):
            self.remove(node)
        self.executor.shutdown()
        self._thread.join(timeout=TIMEOUT_S)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _destroy(self, node: Any) -> None:
        if getattr(node, "phase", "finalized") != "finalized":
            node.trigger_shutdown()
        self.executor.remove_node(node)
        node.destroy_node()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            return


class Inbox:
    """Collects the messages of a topic."""

    def __init__(self, graph: Graph, kind: Any, topic: str, qos: QoSProfile) -> None:
        self.messages: list[Any] = []
        self._changed = threading.Condition()
        self.subscription = graph.call(lambda: graph.node.create_subscription(kind, topic, self._take, qos))

    def _take(self, message: Any) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait(self, predicate: Callable[[Any], bool], timeout_s: float = TIMEOUT_S, start: int = 0) -> Any:
        """The first message from index `start` on that satisfies the predicate."""
        deadline_s = time.monotonic() + timeout_s
        checked = start
        with self._changed:
            while True:
                for message in self.messages[checked:]:
                    if predicate(message):
                        return message
                checked = len(self.messages)
                left_s = deadline_s - time.monotonic()
                last = self.messages[-1] if self.messages else None
                assert left_s > 0, f"no such message within {timeout_s} s; {checked} came, the last: {last}"
                self._changed.wait(left_s)

    def wait_count(self, count: int, timeout_s: float = TIMEOUT_S) -> list[Any]:
        """Waits until at least this many messages came."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= count, timeout_s), (
                f"{len(self.messages)} messages"
            )
            return list(self.messages)


@contextmanager
def open_graph(domain_id: int) -> Iterator[Graph]:
    """A graph that is closed whatever happens."""
    graph = Graph(domain_id)
    try:
        yield graph
    finally:
        graph.close()
