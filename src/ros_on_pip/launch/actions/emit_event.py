"""Emit an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..action import Action
from ..event import Event
from ..utilities import is_a_subclass

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class EmitEvent(Action):
    """Puts an event into the launch's queue."""

    def __init__(self, *, event: Event, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_a_subclass(event, Event):
            raise RuntimeError(f"EmitEvent() expected an event instance, got '{event}' of type '{type(event)}'.")
        self.__event = event

    @property
    def event(self) -> Event:
        return self.__event

    def execute(self, context: LaunchContext) -> None:
        context.emit_event_sync(self.event)
