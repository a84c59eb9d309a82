"""Value of an environment variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import PathSubstitutionMixin, Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("env")
class EnvironmentVariable(PathSubstitutionMixin, Substitution):
    """Performs to the variable of the launch's environment, or to the default; without either it fails."""

    def __init__(self, name: SomeSubstitutionsType, *, default_value: SomeSubstitutionsType | None = None) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__name = normalize_to_list_of_substitutions(name)
        self.__default_value = None if default_value is None else normalize_to_list_of_substitutions(default_value)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[EnvironmentVariable], dict[str, Any]]:
        if not 1 <= len(data) <= 2:
            raise TypeError("env substitution expects 1 or 2 arguments")
        kwargs: dict[str, Any] = {"name": data[0]}
        if len(data) == 2:
            kwargs["default_value"] = data[1]
        return cls, kwargs

    @property
    def name(self) -> list[Substitution]:
        return self.__name

    @property
    def default_value(self) -> list[Substitution] | None:
        return self.__default_value

    def describe(self) -> str:
        return "EnvVar({})".format(" + ".join(sub.describe() for sub in self.name))

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        name = perform_substitutions(context, self.name)
        if name in context.environment:
            return context.environment[name]
        if self.default_value is None:
            raise SubstitutionFailure(f"environment variable '{name}' does not exist")
        return perform_substitutions(context, self.default_value)
