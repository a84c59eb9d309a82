"""Do something after a while of ROS time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.actions.timer_action import TimerAction
from ros2cli.wheels import enter_wheels_environment

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class RosTimer(TimerAction):
    """A TimerAction whose period, in seconds, is one of ROS time: simulated time with SetUseSimTime(True)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__ros_timer: Any = None
        enter_wheels_environment()

    def describe(self) -> str:
        return f"RosTimer({self.period})"

    def _start(self, context: LaunchContext) -> None:
        from ..ros_adapters import get_ros_node

        def on_timer() -> None:
            # In the thread of the ROS executor.
            self.__ros_timer.cancel()
            context.asyncio_loop.call_soon_threadsafe(self._fire, context)  # type: ignore[union-attr]

        self.__ros_timer = get_ros_node(context).create_timer(self._get_period(context), on_timer)

    def cancel(self) -> None:
        if self.__ros_timer is not None:
            self.__ros_timer.cancel()
        super().cancel()
