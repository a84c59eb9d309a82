"""Base class of the conditions under which an action is executed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Condition:
    """A predicate over the context; without a predicate it is false, as upstream has it."""

    def __init__(self, *, predicate: Callable[[LaunchContext], bool] | None = None) -> None:
        self._predicate = predicate

    def describe(self) -> str:
        return self.__repr__()

    def evaluate(self, context: LaunchContext) -> bool:
        return self._predicate(context) if self._predicate is not None else False
