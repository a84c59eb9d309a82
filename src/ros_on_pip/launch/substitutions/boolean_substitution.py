"""Truth values combined: not, and, or, any, all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

TRUE_TEXTS = ("true", "1", "yes", "on", "y")
FALSE_TEXTS = ("false", "0", "no", "off", "n")


def truth(context: LaunchContext, substitutions: list[Substitution]) -> bool:
    """Text to bool, by YAML's words and by 1 and 0; SubstitutionFailure for anything else."""
    from ..utilities import perform_substitutions

    text = perform_substitutions(context, substitutions)
    if text.strip().lower() in TRUE_TEXTS:
        return True
    if text.strip().lower() in FALSE_TEXTS:
        return False
    raise SubstitutionFailure(f"expected a truth value (true, false, 1, 0, yes, no, on, off), got '{text}'")


def texts(values: bool) -> str:
    return "true" if values else "false"


def describe(substitutions: list[Substitution]) -> str:
    return " + ".join(sub.describe() for sub in substitutions)


@expose_substitution("not")
class NotSubstitution(Substitution):
    """Performs to `true` if the value is false, else to `false`."""

    def __init__(self, value: SomeSubstitutionsType) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__value = normalize_to_list_of_substitutions(value)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[NotSubstitution], dict[str, Any]]:
        if len(data) != 1:
            raise TypeError("not substitution expects 1 argument")
        return cls, {"value": data[0]}

    @property
    def value(self) -> list[Substitution]:
        return self.__value

    def describe(self) -> str:
        return f"NotSubstitution({describe(self.value)})"

    def perform(self, context: LaunchContext) -> str:
        return texts(not truth(context, self.value))


class _TwoSided(Substitution):
    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__left = normalize_to_list_of_substitutions(left)
        self.__right = normalize_to_list_of_substitutions(right)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[_TwoSided], dict[str, Any]]:
        if len(data) != 2:
            raise TypeError(f"{cls.__name__} expects 2 arguments")
        return cls, {"left": data[0], "right": data[1]}

    @property
    def left(self) -> list[Substitution]:
        return self.__left

    @property
    def right(self) -> list[Substitution]:
        return self.__right

    def describe(self) -> str:
        return f"{type(self).__name__}({describe(self.left)}, {describe(self.right)})"

    def _sides(self, context: LaunchContext) -> list[bool]:
        return [truth(context, self.left), truth(context, self.right)]


@expose_substitution("and")
class AndSubstitution(_TwoSided):
    """Performs to `true` if both sides are true."""

    def perform(self, context: LaunchContext) -> str:
        return texts(all(self._sides(context)))


@expose_substitution("or")
class OrSubstitution(_TwoSided):
    """Performs to `true` if one side is true."""

    def perform(self, context: LaunchContext) -> str:
        return texts(any(self._sides(context)))


class _ManyArguments(Substitution):
    def __init__(self, *args: SomeSubstitutionsType) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__args = [normalize_to_list_of_substitutions(argument) for argument in args]

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[Any, ...]:
        # Positional: the caller makes the object from (class, args, kwargs).
        return cls, list(data), {}

    @property
    def args(self) -> list[list[Substitution]]:
        return self.__args

    def describe(self) -> str:
        return f"{type(self).__name__}({', '.join(describe(argument) for argument in self.args)})"

    def _values(self, context: LaunchContext) -> list[bool]:
        return [truth(context, argument) for argument in self.args]


@expose_substitution("any")
class AnySubstitution(_ManyArguments):
    """Performs to `true` if one argument is true."""

    def perform(self, context: LaunchContext) -> str:
        return texts(any(self._values(context)))


@expose_substitution("all")
class AllSubstitution(_ManyArguments):
    """Performs to `true` if no argument is false."""

    def perform(self, context: LaunchContext) -> str:
        return texts(all(self._values(context)))
