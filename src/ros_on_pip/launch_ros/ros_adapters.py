"""The launch's own ROS node, for actions that talk to others. Imports rclpy: import it where it is used."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import rclpy
from launch.event_handlers import OnShutdown
from rclpy.executors import SingleThreadedExecutor

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

WAKE_PERIOD_S = 0.5


class ROSAdapter:
    """A node that spins in a thread of its own, in a ROS context of its own unless one is given."""

    def __init__(
        self, *, argv: list[str] | None = None, context: rclpy.Context | None = None, autostart: bool = True
    ) -> None:
        self.__argv = argv
        self.__given_context = context
        self.__ros_context: rclpy.Context | None = None
        self.__ros_node: Any = None
        self.__ros_executor: Any = None
        self.__is_running = False
        if autostart:
            self.start()

    def start(self) -> None:
        if self.__is_running:
            raise RuntimeError("Cannot start a ROS adapter that is already running")
        self.__ros_context = self.__given_context
        if self.__ros_context is None:
            self.__ros_context = rclpy.Context()
            rclpy.init(args=self.__argv, context=self.__ros_context)
        self.__ros_node = rclpy.create_node(f"launch_ros_{os.getpid()}", context=self.__ros_context)
        self.__ros_executor = SingleThreadedExecutor(context=self.__ros_context)
        self.__ros_executor.add_node(self.__ros_node)
        self.__is_running = True
        self.__thread = threading.Thread(target=self._run, name="launch_ros", daemon=True)
        self.__thread.start()

    def _run(self) -> None:
        while self.__is_running:
            self.__ros_executor.spin_once(timeout_sec=WAKE_PERIOD_S)

    def shutdown(self) -> None:
        if not self.__is_running:
            raise RuntimeError("Cannot shutdown a ROS adapter that is not running")
        self.__is_running = False
        self.__ros_executor.wake()
        self.__thread.join()
        self.__ros_executor.remove_node(self.__ros_node)
        self.__ros_node.destroy_node()
        self.__ros_executor.shutdown()
        self.__ros_node = None
        if self.__given_context is None:
            rclpy.shutdown(context=self.__ros_context)

    @property
    def argv(self) -> list[str] | None:
        return self.__argv

    @property
    def ros_context(self) -> rclpy.Context | None:
        return self.__ros_context

    @property
    def ros_node(self) -> Any:
        return self.__ros_node

    @property
    def ros_executor(self) -> Any:
        return self.__ros_executor


def get_ros_adapter(context: LaunchContext) -> ROSAdapter:
    """The launch's adapter, made on first use and shut down with the launch."""
    if not hasattr(context.locals, "ros_adapter"):
        adapter = ROSAdapter(argv=context.argv)
        context.extend_globals({"ros_adapter": adapter})
        context.register_event_handler(
            OnShutdown(on_shutdown=lambda event, context: adapter.shutdown(), handle_once=True)
        )
    return context.locals.ros_adapter


def get_ros_node(context: LaunchContext) -> Any:
    """The launch's rclpy node."""
    return get_ros_adapter(context).ros_node
