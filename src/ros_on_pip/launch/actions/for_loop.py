"""Repeat actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import perform_typed_substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

LoopFunction = Callable[..., list[LaunchDescriptionEntity] | None]


class ForEach(Action):
    """Calls a function with the keyword arguments of each entry of a text, and yields what it returns.

    Args:
        input_values: YAML dictionaries separated by semicolons, such as `{name: 'a'};{name: 'b'}`.
        function: called with each dictionary's entries as keyword arguments.
    """

    SEPARATOR = ";"

    def __init__(self, input_values: SomeSubstitutionsType, *, function: LoopFunction, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._input_values = normalize_to_list_of_substitutions(input_values)
        self._function = function

    @property
    def input_values(self) -> list[Substitution]:
        return self._input_values

    @property
    def function(self) -> LoopFunction:
        return self._function

    def describe(self) -> str:
        values = " + ".join(sub.describe() for sub in self.input_values)
        return f"{type(self).__name__}(input_values={values}, function={self.function})"

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        import yaml

        entities: list[LaunchDescriptionEntity] = []
        for text in perform_substitutions(context, self.input_values).split(self.SEPARATOR):
            if text.strip():
                entities += self.function(**yaml.safe_load(text)) or []
        return entities


class ForLoop(Action):
    """Calls `function(i)` for i from 0 to the length, and yields what it returns."""

    def __init__(
        self, length: SomeSubstitutionsType, *, function: LoopFunction, name: str = "for-loop", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._length = normalize_to_list_of_substitutions(length)
        self._function = function
        self._name = name

    @property
    def length(self) -> list[Substitution]:
        return self._length

    @property
    def function(self) -> LoopFunction:
        return self._function

    @property
    def name(self) -> str:
        return self._name

    def describe(self) -> str:
        return f"{type(self).__name__}(length={self.length}, function={self.function})"

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        length = perform_typed_substitution(context, self.length, int)
        values = ForEach.SEPARATOR.join(f"{{i: {i}}}" for i in range(length))
        return [ForEach(values, function=self.function)]
