"""Path of an executable."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import PathSubstitutionMixin, Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("find-exec")
class FindExecutable(PathSubstitutionMixin, Substitution):
    """Performs to the path of the executable that the PATH leads to."""

    def __init__(self, *, name: SomeSubstitutionsType) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__name = normalize_to_list_of_substitutions(name)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[FindExecutable], dict[str, Any]]:
        if len(data) != 1:
            raise AttributeError("find-exec substitution expects 1 argument")
        return cls, {"name": data[0]}

    @property
    def name(self) -> list[Substitution]:
        return self.__name

    def describe(self) -> str:
        return "FindExec({})".format(" + ".join(sub.describe() for sub in self.name))

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        name = perform_substitutions(context, self.name)
        path = shutil.which(name, path=context.environment.get("PATH"))
        if path is None:
            raise SubstitutionFailure(f"executable '{name}' not found on the PATH")
        return path
