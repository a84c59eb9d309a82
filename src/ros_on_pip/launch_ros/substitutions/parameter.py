"""Value of a parameter set for all nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from launch.frontend import expose_substitution
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.substitutions.substitution_failure import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


@expose_substitution("param")
class Parameter(Substitution):
    """Performs to the value that SetParameter gave last, or to the default; without either it fails."""

    def __init__(self, name: SomeSubstitutionsType, *, default: SomeSubstitutionsType | None = None) -> None:
        self.__name = normalize_to_list_of_substitutions(name)
        self.__default = None if default is None else normalize_to_list_of_substitutions(default)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[Parameter], dict[str, Any]]:
        if not 1 <= len(data) <= 2:
            raise TypeError("param substitution expects 1 or 2 arguments")
        kwargs: dict[str, Any] = {"name": data[0]}
        if len(data) == 2:
            kwargs["default"] = data[1]
        return cls, kwargs

    @property
    def name(self) -> list[Substitution]:
        return self.__name

    def describe(self) -> str:
        return "Parameter({})".format(" + ".join(sub.describe() for sub in self.name))

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self.name)
        for entry in reversed(context.launch_configurations.get("global_params", [])):
            if isinstance(entry, tuple) and entry[0] == name:
                return str(entry[1])
        if self.__default is None:
            raise SubstitutionFailure(f"parameter '{name}' was not set by a SetParameter action")
        return perform_substitutions(context, self.__default)
