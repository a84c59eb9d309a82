"""Text to true or false."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..substitution import Substitution
from ..utilities.perform_substitutions_impl import perform_substitutions
from .invalid_condition_expression_error import InvalidConditionExpressionError

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

VALID_TRUE_EXPRESSIONS = ["true", "1"]
VALID_FALSE_EXPRESSIONS = ["false", "0"]


def evaluate_condition_expression(context: LaunchContext, expression: list[Substitution]) -> bool:
    """True for `true` and `1`, False for `false` and `0`, in any case; else InvalidConditionExpressionError."""
    text = perform_substitutions(context, expression).strip().lower()
    if text in VALID_TRUE_EXPRESSIONS:
        return True
    if text in VALID_FALSE_EXPRESSIONS:
        return False
    valid = VALID_TRUE_EXPRESSIONS + VALID_FALSE_EXPRESSIONS
    raise InvalidConditionExpressionError(f"invalid condition expression, expected one of {valid} but got '{text}'")
