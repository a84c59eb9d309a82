"""Value of a launch configuration, such as a launch argument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import PathSubstitutionMixin, Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("var")
class LaunchConfiguration(PathSubstitutionMixin, Substitution):
    """Performs to the value of the configuration, or to the default; without either it fails."""

    def __init__(self, variable_name: SomeSubstitutionsType, *, default: Any | Iterable[Any] | None = None) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__variable_name = normalize_to_list_of_substitutions(variable_name)
        self.__default: list[Substitution] | None = None
        if default is not None:
            if isinstance(default, (str, Substitution)) or not isinstance(default, Iterable):
                default = [default]
            parts = [part if isinstance(part, (str, Substitution)) else str(part) for part in default]
            self.__default = normalize_to_list_of_substitutions(parts)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[LaunchConfiguration], dict[str, Any]]:
        if not 1 <= len(data) <= 2:
            raise TypeError("var substitution expects 1 or 2 arguments")
        kwargs: dict[str, Any] = {"variable_name": data[0]}
        if len(data) == 2:
            kwargs["default"] = data[1]
        return cls, kwargs

    @property
    def variable_name(self) -> list[Substitution]:
        return self.__variable_name

    def describe(self) -> str:
        return "LaunchConfig({})".format(" + ".join(sub.describe() for sub in self.variable_name))

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        name = perform_substitutions(context, self.variable_name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self.__default is None:
            raise SubstitutionFailure(f"launch configuration '{name}' does not exist")
        return perform_substitutions(context, self.__default)
