"""Value from the context's locals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..substitution import Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class LocalSubstitution(Substitution):
    """Performs to `context.locals.<expression>`, such as `event.reason` or `arguments['name'][0]`."""

    def __init__(self, expression: str, *, description: str | None = None) -> None:
        if not isinstance(expression, str):
            raise TypeError(f"expected the expression to be a str, got '{type(expression)}'")
        self.__expression = expression
        self.__description = description

    @property
    def expression(self) -> str:
        return self.__expression

    def describe(self) -> str:
        return f"LocalVar('{self.__description if self.__description is not None else self.__expression}')"

    def perform(self, context: LaunchContext) -> str:
        try:
            return str(eval("context.locals." + self.expression, {}, {"context": context}))  # noqa: S307
        except (AttributeError, KeyError, IndexError) as error:
            raise SubstitutionFailure(f"local '{self.expression}' does not exist: {error}") from error
