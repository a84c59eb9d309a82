"""Spins until a future completes, for as long as that takes.

rclpy's own `spin_until_future_complete` adds one more callback to the future at every message: 700 messages per second
cost 10 MB a minute.
"""

from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.task import Future


class Spinner:
    """The spinning of an executor that `finished` ends from any thread; ``node`` must be one of the executor's."""

    def __init__(self, executor: Executor, node: Node, finished: Future) -> None:
        self._executor, self._finished = executor, finished
        woken = node.create_guard_condition(lambda: None)  # something to do, so that the waiting ends
        finished.add_done_callback(lambda _: woken.trigger())

    def spin(self) -> None:
        """Handles callbacks until the future is done or the context ends; raises what a callback raises."""
        while self._executor.context.ok() and not self._finished.done():
            self._executor.spin_once()
