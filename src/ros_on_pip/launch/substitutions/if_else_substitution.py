"""One of two values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from .boolean_substitution import describe, truth

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("if")
class IfElseSubstitution(Substitution):
    """Performs to `if_value` if the condition is true, else to `else_value`."""

    def __init__(
        self,
        condition: SomeSubstitutionsType,
        if_value: SomeSubstitutionsType = "",
        else_value: SomeSubstitutionsType = "",
    ) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        if if_value == else_value == "":
            raise RuntimeError("expected an if_value or an else_value, got neither")
        self._condition = normalize_to_list_of_substitutions(condition)
        self._if_value = normalize_to_list_of_substitutions(if_value)
        self._else_value = normalize_to_list_of_substitutions(else_value)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[IfElseSubstitution], dict[str, Any]]:
        if not 2 <= len(data) <= 3:
            raise TypeError("if substitution expects 2 or 3 arguments")
        return cls, dict(zip(("condition", "if_value", "else_value"), data, strict=False))

    @property
    def condition(self) -> list[Substitution]:
        return self._condition

    @property
    def if_value(self) -> list[Substitution]:
        return self._if_value

    @property
    def else_value(self) -> list[Substitution]:
        return self._else_value

    def describe(self) -> str:
        parts = ", ".join(describe(part) for part in (self.condition, self.if_value, self.else_value))
        return f"IfElseSubstitution({parts})"

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        return perform_substitutions(context, self.if_value if truth(context, self.condition) else self.else_value)
