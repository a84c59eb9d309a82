"""Set a parameter of all nodes that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution

from ..utilities.evaluate_parameters import evaluate_parameter_dict
from ..utilities.normalize_parameters import normalize_parameter_dict

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class SetParameter(Action):
    """Sets a parameter of the nodes that follow, until the scope ends; a node's own parameters win."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        key = tuple(name) if isinstance(name, list) else name
        self.__param_dict = normalize_parameter_dict({key: value})

    @property
    def name(self) -> list[Substitution]:
        return list(next(iter(self.__param_dict)))

    @property
    def value(self) -> Any:
        return next(iter(self.__param_dict.values()))

    def execute(self, context: LaunchContext) -> None:
        settings = evaluate_parameter_dict(context, self.__param_dict)
        former = context.launch_configurations.get("global_params", [])
        context.launch_configurations["global_params"] = [*former, *settings.items()]
