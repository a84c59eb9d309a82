"""Path components joined."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import PathSubstitutionMixin, Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class PathJoinSubstitution(PathSubstitutionMixin, Substitution):
    """Performs to its components joined by os.path.join; each may be a list whose parts are concatenated."""

    def __init__(self, substitutions: Iterable[SomeSubstitutionsType]) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__substitutions = [normalize_to_list_of_substitutions(component) for component in substitutions]

    @property
    def substitutions(self) -> list[list[Substitution]]:
        return self.__substitutions

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[PathJoinSubstitution], dict[str, Any]]:
        return cls, {"substitutions": data}

    def describe(self) -> str:
        components = ", ".join(" + ".join(sub.describe() for sub in component) for component in self.substitutions)
        return f"PathJoin({components})"

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        return os.path.join(*(perform_substitutions(context, component) for component in self.substitutions))
