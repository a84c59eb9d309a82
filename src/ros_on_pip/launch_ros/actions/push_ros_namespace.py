"""Put the nodes that follow into a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..ros_names import validate_namespace
from ..utilities.namespace_utils import make_namespace_absolute, prefix_namespace

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class PushROSNamespace(Action):
    """Appends to the namespace of the nodes that follow, until the scope (GroupAction) ends."""

    def __init__(self, namespace: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__namespace = normalize_to_list_of_substitutions(namespace)

    @property
    def namespace(self) -> list[Substitution]:
        return self.__namespace

    def execute(self, context: LaunchContext) -> None:
        pushed = perform_substitutions(context, self.namespace)
        namespace = make_namespace_absolute(
            prefix_namespace(context.launch_configurations.get("ros_namespace"), pushed)
        )
        assert namespace is not None
        validate_namespace(namespace)
        context.launch_configurations["ros_namespace"] = namespace


# The name before ROS 2 Iron, still the usual one.
PushRosNamespace = PushROSNamespace
