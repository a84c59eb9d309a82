"""When a launch description is included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..actions.opaque_function import OpaqueFunction
from ..event_handler import EventHandler
from ..events.include_launch_description import IncludeLaunchDescription
from ..utilities import is_a_subclass

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class OnIncludeLaunchDescription(EventHandler):
    """Visits the description of each include event; every launch service has one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            matcher=lambda event: is_a_subclass(event, IncludeLaunchDescription),
            entities=OpaqueFunction(function=self._included),
            **kwargs,
        )

    @staticmethod
    def _included(context: LaunchContext) -> list:
        return [context.locals.event.launch_description]

    @property
    def handler_description(self) -> str:
        return "returns the launch_description in the event"

    @property
    def matcher_description(self) -> str:
        return "event issubclass of launch.events.IncludeLaunchDescription"
