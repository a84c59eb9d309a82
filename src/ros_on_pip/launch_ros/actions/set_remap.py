"""Set a remapping of all nodes that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class SetRemap(Action):
    """Remaps a name of the nodes that follow, until the scope ends."""

    def __init__(self, src: SomeSubstitutionsType, dst: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__src = normalize_to_list_of_substitutions(src)
        self.__dst = normalize_to_list_of_substitutions(dst)

    @property
    def src(self) -> list[Substitution]:
        return self.__src

    @property
    def dst(self) -> list[Substitution]:
        return self.__dst

    def execute(self, context: LaunchContext) -> None:
        rule = (perform_substitutions(context, self.src), perform_substitutions(context, self.dst))
        former = context.launch_configurations.get("ros_remaps", [])
        context.launch_configurations["ros_remaps"] = [*former, rule]
