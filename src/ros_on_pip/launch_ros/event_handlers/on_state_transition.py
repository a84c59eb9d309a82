"""When a lifecycle node changes its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from launch.event import Event
from launch.event_handler import EventHandler
from launch.some_entities_type import SomeEntitiesType

if TYPE_CHECKING:
    from ..actions.lifecycle_node import LifecycleNode


class OnStateTransition(EventHandler):
    """Visits the entities when a transition matches all that is given.

    Args:
        entities: what to do.
        target_lifecycle_node: the node; any, if not given.
        transition: label of the transition, such as 'configure'.
        start_state: label of the state before.
        goal_state: label of the state after.
        matcher: function of the event, instead of all the above.
    """

    def __init__(
        self,
        *,
        entities: SomeEntitiesType,
        target_lifecycle_node: LifecycleNode | None = None,
        transition: str | None = None,
        start_state: str | None = None,
        goal_state: str | None = None,
        matcher: Callable[[Event], bool] | None = None,
        **kwargs: Any,
    ) -> None:
        from ..actions.lifecycle_node import LifecycleNode
        from ..events.lifecycle.state_transition import StateTransition

        if not isinstance(target_lifecycle_node, (LifecycleNode, type(None))):
            raise RuntimeError(
                f"OnStateTransition requires a LifecycleNode action as target, got {target_lifecycle_node!r}"
            )
        wanted = {"transition": transition, "start_state": start_state, "goal_state": goal_state}

        def matches(event: Event) -> bool:
            return (
                isinstance(event, StateTransition)
                and target_lifecycle_node in (None, event.action)
                and all(label is None or getattr(event, field) == label for field, label in wanted.items())
            )

        super().__init__(matcher=matcher or matches, entities=entities, **kwargs)

    @property
    def matcher_description(self) -> str:
        return "event issubclass of launch_ros.events.lifecycle.StateTransition"
