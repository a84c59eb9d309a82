"""When an action's execution is complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..events.execution_complete import ExecutionComplete
from ..some_entities_type import SomeEntitiesType
from .on_action_event_base import OnActionEventBase

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class OnExecutionComplete(OnActionEventBase):
    """Visits the entities, or calls `on_completion(event, context)`, when the action (any, if not given) is done."""

    def __init__(
        self,
        *,
        target_action: Callable[[Action], bool] | Action | None = None,
        on_completion: SomeEntitiesType | Callable[[ExecutionComplete, LaunchContext], SomeEntitiesType | None],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            action_matcher=target_action,
            on_event=on_completion,
            target_event_cls=ExecutionComplete,
            target_action_cls=Action,
            **kwargs,
        )
