"""Unregister an event handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..action import Action
from ..event_handler import BaseEventHandler

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class UnregisterEventHandler(Action):
    """From here on no events go to the handler."""

    def __init__(self, event_handler: BaseEventHandler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__event_handler = event_handler

    @property
    def event_handler(self) -> BaseEventHandler:
        return self.__event_handler

    def execute(self, context: LaunchContext) -> None:
        context.unregister_event_handler(self.__event_handler)
