"""Equality of two values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


def as_text(value: Any) -> str:
    """Constants in the words of a launch file."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def normalize(value: Any) -> list[Substitution]:
    from ..utilities import normalize_to_list_of_substitutions

    if isinstance(value, Iterable) and not isinstance(value, (str, Substitution)):
        return normalize_to_list_of_substitutions(
            [part if isinstance(part, Substitution) else as_text(part) for part in value]
        )
    return normalize_to_list_of_substitutions(value if isinstance(value, Substitution) else as_text(value))


def equal_texts(left: str, right: str) -> bool:
    """Equal as texts, as truth values or as numbers."""
    if left == right:
        return True
    words = {"true": True, "false": False, "1": True, "0": False}
    if left.lower() in words and right.lower() in words:
        return words[left.lower()] is words[right.lower()]
    try:
        return math.isclose(float(left), float(right))
    except ValueError:
        return False


@expose_substitution("equals")
class EqualsSubstitution(Substitution):
    """Performs to `true` if both sides are equal as text, truth value or number, else to `false`."""

    def __init__(self, left: Any, right: Any) -> None:
        self.__left = normalize(left)
        self.__right = normalize(right)

    @classmethod
    def parse(cls, data: Sequence[Any]) -> tuple[type[EqualsSubstitution], dict[str, Any]]:
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
        left, right = (" + ".join(sub.describe() for sub in side) for side in (self.left, self.right))
        return f"{type(self).__name__}({left} {right})"

    def _equal(self, context: LaunchContext) -> bool:
        from ..utilities import perform_substitutions

        return equal_texts(perform_substitutions(context, self.left), perform_substitutions(context, self.right))

    def perform(self, context: LaunchContext) -> str:
        return "true" if self._equal(context) else "false"
