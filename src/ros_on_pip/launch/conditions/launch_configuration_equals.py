"""Condition that holds if a launch configuration has a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..condition import Condition
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities.normalize_to_list_of_substitutions_impl import normalize_to_list_of_substitutions
from ..utilities.perform_substitutions_impl import perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class LaunchConfigurationEquals(Condition):
    """Holds if the configuration is set to the value, or is not set when the value is None."""

    def __init__(
        self, launch_configuration_name: SomeSubstitutionsType, expected_value: SomeSubstitutionsType | None
    ) -> None:
        self.__name = normalize_to_list_of_substitutions(launch_configuration_name)
        self.__expected = None if expected_value is None else normalize_to_list_of_substitutions(expected_value)
        super().__init__(predicate=self._predicate_func)

    def _predicate_func(self, context: LaunchContext) -> bool:
        value = context.launch_configurations.get(perform_substitutions(context, self.__name))
        if self.__expected is None or value is None:
            return self.__expected is None and value is None
        return value == perform_substitutions(context, self.__expected)

    def describe(self) -> str:
        return self.__repr__()
