"""Append to an environment variable."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class AppendEnvironmentVariable(Action):
    """Appends (or prepends) a value to a variable, which is set if it was not there."""

    def __init__(
        self,
        name: SomeSubstitutionsType,
        value: SomeSubstitutionsType,
        prepend: bool | SomeSubstitutionsType = False,
        separator: SomeSubstitutionsType = os.pathsep,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__name = normalize_to_list_of_substitutions(name)
        self.__value = normalize_to_list_of_substitutions(value)
        self.__prepend = normalize_typed_substitution(prepend, bool)
        self.__separator = normalize_to_list_of_substitutions(separator)

    @property
    def name(self) -> list[Substitution]:
        return self.__name

    @property
    def value(self) -> list[Substitution]:
        return self.__value

    @property
    def prepend(self) -> Any:
        return self.__prepend

    @property
    def separator(self) -> list[Substitution]:
        return self.__separator

    def execute(self, context: LaunchContext) -> None:
        name = perform_substitutions(context, self.name)
        parts = [perform_substitutions(context, self.value)]
        if name in context.environment:
            before = perform_typed_substitution(context, self.prepend, bool)
            parts.insert(1 if before else 0, context.environment[name])
        context.environment[name] = perform_substitutions(context, self.separator).join(parts)
