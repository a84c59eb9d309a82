"""Base class of handlers of what happens to actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..event import Event
from ..event_handler import BaseEventHandler
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType
from ..utilities.normalize_to_list_of_entities_impl import normalize_to_list_of_entities

if TYPE_CHECKING:
    from ..action import Action
    from ..launch_context import LaunchContext

ActionMatcher = Callable[[Any], bool]


class OnActionEventBase(BaseEventHandler):
    """Matches events of a class that concern one action, all actions, or those that a function accepts.

    Args:
        action_matcher: an action, a function from an action to bool, or None for all.
        on_event: entities to visit, or `on_event(event, context)` that may return some.
        target_event_cls: class of the events.
        target_action_cls: class of the action.
    """

    def __init__(
        self,
        *,
        action_matcher: ActionMatcher | Action | None,
        on_event: SomeEntitiesType | Callable[[Any, LaunchContext], SomeEntitiesType | None],
        target_event_cls: type[Event],
        target_action_cls: type[Action],
        **kwargs: Any,
    ) -> None:
        if not (action_matcher is None or callable(action_matcher) or isinstance(action_matcher, target_action_cls)):
            raise TypeError(
                f"action_matcher must be a '{target_action_cls.__name__}' instance or a callable, got "
                f"'{type(action_matcher)}'"
            )
        if isinstance(action_matcher, target_action_cls):
            self.__is_target: ActionMatcher = lambda action: action is action_matcher
        elif action_matcher is None:
            self.__is_target = lambda action: True
        else:
            self.__is_target = action_matcher  # type: ignore[assignment]
        self.__target_event_cls = target_event_cls
        super().__init__(matcher=self.__matches, **kwargs)
        self.__entities: list[LaunchDescriptionEntity] = []
        self.__on_event = None
        if callable(on_event) and not isinstance(on_event, LaunchDescriptionEntity):
            self.__on_event = on_event
        else:
            self.__entities = normalize_to_list_of_entities(on_event)  # type: ignore[arg-type]

    def __matches(self, event: Event) -> bool:
        return isinstance(event, self.__target_event_cls) and self.__is_target(event.action)  # type: ignore[attr-defined]

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        return self.__on_event(event, context) if self.__on_event is not None else self.__entities

    def describe(self) -> tuple[str, list[SomeEntitiesType]]:
        text, _ = super().describe()
        return text, list(self.__entities)

    @property
    def handler_description(self) -> str:
        return "<actions>" if self.__on_event is None else f"{self.__on_event}"

    @property
    def matcher_description(self) -> str:
        return f"event issubclass of {self.__target_event_cls.__name__}"
