"""Text as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class TextSubstitution(Substitution):
    """Performs to its text."""

    def __init__(self, *, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(
                f"TextSubstitution expected Text object got '{type(text)}' object. "
                "if you wanted to use a non-string, try str(...) first"
            )
        self.__text = text

    @property
    def text(self) -> str:
        return self.__text

    def describe(self) -> str:
        return f"'{self.text}'"

    def perform(self, context: LaunchContext) -> str:
        return self.text
