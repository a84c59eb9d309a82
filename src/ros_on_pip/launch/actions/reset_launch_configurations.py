"""Forget the launch configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..action import Action
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import is_substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class ResetLaunchConfigurations(Action):
    """Clears the launch configurations but for those given, whose values may refer to the old ones."""

    def __init__(self, launch_configurations: dict[Any, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__launch_configurations = dict(launch_configurations or {})

    def execute(self, context: LaunchContext) -> None:
        kept = {}
        for name, value in self.__launch_configurations.items():
            key = perform_substitutions(context, normalize_to_list_of_substitutions(name))
            textual = isinstance(value, (str, Substitution)) or is_substitution(value)
            kept[key] = perform_substitutions(context, normalize_to_list_of_substitutions(value)) if textual else value
        context.launch_configurations.clear()
        context.launch_configurations.update(kept)
