"""Condition that holds if an expression is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..condition import Condition
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities.normalize_to_list_of_substitutions_impl import normalize_to_list_of_substitutions
from .evaluate_condition_expression_impl import evaluate_condition_expression

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class IfCondition(Condition):
    """Holds if the expression performs to `true` or `1`."""

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self.__predicate_expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(predicate=self._predicate_func)

    def _predicate_func(self, context: LaunchContext) -> bool:
        return evaluate_condition_expression(context, self.__predicate_expression)

    def describe(self) -> str:
        return self.__repr__()
