"""Condition that holds unless a launch configuration has a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .launch_configuration_equals import LaunchConfigurationEquals

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class LaunchConfigurationNotEquals(LaunchConfigurationEquals):
    """Holds where `LaunchConfigurationEquals` does not."""

    def _predicate_func(self, context: LaunchContext) -> bool:
        return not super()._predicate_func(context)
