"""Hears force/wrench in a thread of its own.

An executor pays for every entity of its nodes at every message: behind the arm node's thirty services, publishers and
timers, 650 messages per second cost a fifth of a core. A node with this one subscription costs a third of that, and no
other callback keeps a stop waiting.
"""

import threading
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import WrenchStamped
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future

from insertion_vla import qos
from insertion_vla.spinning import Spinner


class ForceListener:
    """Calls ``on_force(message, info)`` in its thread; ``info["received_timestamp"]`` is wall time in ns."""

    def __init__(
        self,
        node: Node,
        topic: str,
        on_force: Callable[[WrenchStamped, dict[str, Any]], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        """``topic`` is remapped as the node would remap it; ``on_crash`` gets what a callback raised."""
        self._on_crash = on_crash
        self._node = Node(
            f"_{node.get_name()}_force",  # the underscore hides it from `ros2 node list`
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self._node.create_subscription(WrenchStamped, node.resolve_topic_name(topic), on_force, qos.WRENCH)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._done = Future()
        self._spinner = Spinner(self._executor, self._node, self._done)
        self._thread = threading.Thread(target=self._run, name="force", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._spinner.spin()
            except (ExternalShutdownException, ShutdownException):
                return
            except Exception as error:
                self._on_crash(error)
            else:
                return

    def close(self) -> None:
        """End the thread; no callback runs after this."""
        # The thread leaves its spinning before the executor goes: rclpy fails when one is shut down under a spinner.
        self._done.set_result(None)
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
