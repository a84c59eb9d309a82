"""Let the launch's own ROS node follow simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from ros2cli.wheels import enter_wheels_environment

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class SetUseSimTime(Action):
    """Sets `use_sim_time` of the node that RosTimer takes its time from; nodes are set by SetParameter."""

    def __init__(self, value: bool | SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__value = normalize_typed_substitution(value, bool)
        enter_wheels_environment()

    @property
    def value(self) -> Any:
        return self.__value

    def execute(self, context: LaunchContext) -> None:
        from rclpy.parameter import Parameter

        from ..ros_adapters import get_ros_node

        value = perform_typed_substitution(context, self.__value, bool)
        get_ros_node(context).set_parameters([Parameter("use_sim_time", value=value)])
