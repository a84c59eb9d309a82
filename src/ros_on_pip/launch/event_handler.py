"""Event handlers: what to do when an event that matches happens."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable
from typing import TYPE_CHECKING

from .event import Event
from .launch_description_entity import LaunchDescriptionEntity
from .some_entities_type import SomeEntitiesType

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class BaseEventHandler:
    """Matches events; `handle_once` makes it leave the context with its first event."""

    def __init__(self, *, matcher: Callable[[Event], bool], handle_once: bool = False) -> None:
        self.__matcher = matcher
        self.__handle_once = handle_once

    @property
    def handle_once(self) -> bool:
        return self.__handle_once

    @property
    def handler_description(self) -> str:
        """What is done, in words."""
        return ""

    @property
    def matcher_description(self) -> str:
        """What is matched, in words."""
        return ""

    def matches(self, event: Event) -> bool:
        return self.__matcher(event)

    def describe(self) -> tuple[str, list[SomeEntitiesType]]:
        description = (
            f"{self.__class__.__name__}(matcher='{self.matcher_description}', handler='{self.handler_description}', "
            f"handle_once={self.handle_once})"
        )
        return description, []

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        """Put the event into the context's locals; subclasses then return the entities to visit."""
        context.extend_locals({"event": event})
        if self.handle_once:
            context.unregister_event_handler(self)
        return None


class EventHandler(BaseEventHandler):
    """Visits the given entities when an event matches."""

    def __init__(
        self,
        *,
        matcher: Callable[[Event], bool],
        entities: SomeEntitiesType | None = None,
        handle_once: bool = False,
    ) -> None:
        super().__init__(matcher=matcher, handle_once=handle_once)
        self.__entities = entities

    @property
    def entities(self) -> SomeEntitiesType | None:
        return self.__entities

    def describe(self) -> tuple[str, list[SomeEntitiesType]]:
        text, _ = super().describe()
        if self.entities is None:
            return text, []
        entities = self.entities
        return text, list(entities) if isinstance(entities, collections.abc.Iterable) else [entities]

    def handle(self, event: Event, context: LaunchContext) -> list[LaunchDescriptionEntity] | SomeEntitiesType | None:
        super().handle(event, context)
        return self.entities
