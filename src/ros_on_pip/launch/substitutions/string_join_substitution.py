"""Texts joined by a delimiter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class StringJoinSubstitution(Substitution):
    """Performs to the components, each performed, with the delimiter between them."""

    def __init__(self, substitutions: Iterable[SomeSubstitutionsType], delimiter: SomeSubstitutionsType = "") -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__substitutions = [normalize_to_list_of_substitutions(component) for component in substitutions]
        self.__delimiter = normalize_to_list_of_substitutions(delimiter)

    @property
    def substitutions(self) -> list[list[Substitution]]:
        return self.__substitutions

    @property
    def delimiter(self) -> list[Substitution]:
        return self.__delimiter

    def describe(self) -> str:
        components = ", ".join(" + ".join(sub.describe() for sub in component) for component in self.substitutions)
        return f"StringJoin({components})"

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        delimiter = perform_substitutions(context, self.delimiter)
        return delimiter.join(perform_substitutions(context, component) for component in self.substitutions)
