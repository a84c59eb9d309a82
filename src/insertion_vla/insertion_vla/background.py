"""Services that take a while, answered from a thread so that the executor keeps serving everything else."""

import threading
import traceback
from collections.abc import Callable
from typing import Any

from insertion_vla_core.decision import Refused
from rclpy.node import Node
from rclpy.task import Future


class Background:
    """Runs one piece of work at a time; ``await background.run(...)`` in an ``async def`` service callback.

    The service needs a callback group of its own: an awaiting callback blocks its group.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._busy = ""

    def run(self, name: str, work: Callable[[], tuple[Any, ...]]) -> Future:
        """Start the work; the future holds what it returns, or (False, sentence) if it raised or another one runs."""
        executor = self._node.executor
        future = Future(executor=executor)
        if self._busy:
            future.set_result((False, f"refused: {self._busy} is still going on"))
            return future
        self._busy = name

        def body() -> None:
            try:
                result = work()
            except (Refused, OSError) as error:
                result = (False, str(error))
            except Exception as error:
                self._node.get_logger().error(f"{name}: {error}\n{traceback.format_exc()}")
                result = (False, f"{type(error).__name__}: {error}")
            self._busy = ""
            future.set_result(result)
            if executor is not None:
                executor.wake()

        threading.Thread(target=body, name=name, daemon=True).start()
        return future
