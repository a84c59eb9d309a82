"""Restore the environment of the last push."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..action import Action

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class PopEnvironment(Action):
    """Restore the environment of the last push."""

    def execute(self, context: LaunchContext) -> None:
        context._pop_environment()
