"""Spinning for days: ended from another thread, and no larger than it began."""

import threading
import tracemalloc

from ros_graph import open_graph  # isort: skip  (sets the environment before rclpy is imported)
import rclpy
from insertion_vla.spinning import Spinner
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future

DOMAIN = 57
ROUNDS, BYTES_PER_ROUND = 2000, 20


def test_every_round_leaves_nothing_behind() -> None:
    with open_graph(DOMAIN) as graph:
        node = rclpy.create_node("spinner", context=graph.node.context)
        executor = SingleThreadedExecutor(context=graph.node.context)
        executor.add_node(node)
        finished, rounds, sizes = Future(), 0, []

        def again() -> None:
            nonlocal rounds
            rounds += 1
            if rounds in (ROUNDS, 2 * ROUNDS):
                sizes.append(tracemalloc.get_traced_memory()[0])
            if rounds == 2 * ROUNDS:
                threading.Thread(target=finished.set_result, args=(None,)).start()
            else:
                guard.trigger()

        guard = node.create_guard_condition(again)
        guard.trigger()
        tracemalloc.start()
        try:
            Spinner(executor, node, finished).spin()
        finally:
            tracemalloc.stop()
        executor.shutdown()
        node.destroy_node()
    assert finished.done() and rounds == 2 * ROUNDS
    assert sizes[1] - sizes[0] < ROUNDS * BYTES_PER_ROUND
