"""Register an event handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..action import Action
from ..event_handler import BaseEventHandler
from ..launch_description_entity import LaunchDescriptionEntity
from ..utilities.normalize_to_list_of_entities_impl import normalize_to_list_of_entities

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class RegisterEventHandler(Action):
    """From here on events go to the handler, before all that are registered already."""

    def __init__(self, event_handler: BaseEventHandler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__event_handler = event_handler

    @property
    def event_handler(self) -> BaseEventHandler:
        return self.__event_handler

    def execute(self, context: LaunchContext) -> None:
        context.register_event_handler(self.__event_handler)

    def describe_conditional_sub_entities(self) -> list[tuple[str, list[LaunchDescriptionEntity]]]:
        text, entities = self.__event_handler.describe()
        return [(text, normalize_to_list_of_entities(entities))] if entities else []
