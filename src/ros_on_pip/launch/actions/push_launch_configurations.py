"""Keep the launch configurations to restore them with a pop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..action import Action

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class PushLaunchConfigurations(Action):
    """Keep the launch configurations to restore them with a pop."""

    def execute(self, context: LaunchContext) -> None:
        context._push_launch_configurations()
