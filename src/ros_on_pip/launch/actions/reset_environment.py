"""Back to the environment of the launch's start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..action import Action

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class ResetEnvironment(Action):
    """Back to the environment of the launch's start."""

    def execute(self, context: LaunchContext) -> None:
        context._reset_environment()
