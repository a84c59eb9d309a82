"""When the launch ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..event import Event
from ..event_handler import BaseEventHandler
from ..events.shutdown import Shutdown
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType
from ..utilities import is_a_subclass, normalize_to_list_of_entities

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class OnShutdown(BaseEventHandler):
    """Visits the entities, or calls `on_shutdown(event, context)`, when the launch is asked to end."""

    def __init__(
        self,
        *,
        on_shutdown: SomeEntitiesType | Callable[[Shutdown, LaunchContext], SomeEntitiesType | None],
        **kwargs: Any,
    ) -> None:
        super().__init__(matcher=lambda event: is_a_subclass(event, Shutdown), **kwargs)
        self.__on_shutdown = None
        self.__entities: list[LaunchDescriptionEntity] = []
        if callable(on_shutdown) and not isinstance(on_shutdown, LaunchDescriptionEntity):
            self.__on_shutdown = on_shutdown
        else:
            self.__entities = normalize_to_list_of_entities(on_shutdown)  # type: ignore[arg-type]

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        if self.__on_shutdown is not None:
            return self.__on_shutdown(event, context)  # type: ignore[arg-type]
        return self.__entities

    def describe(self) -> tuple[str, list[SomeEntitiesType]]:
        text, _ = super().describe()
        return text, list(self.__entities)

    @property
    def handler_description(self) -> str:
        return "<actions>" if self.__on_shutdown is None else f"{self.__on_shutdown}"

    @property
    def matcher_description(self) -> str:
        return "event issubclass of launch.events.Shutdown"
