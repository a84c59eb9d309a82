"""When a process starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..events.process.process_started import ProcessStarted
from ..some_entities_type import SomeEntitiesType
from .on_action_event_base import OnActionEventBase

if TYPE_CHECKING:
    from ..actions.execute_local import ExecuteLocal
    from ..launch_context import LaunchContext


class OnProcessStart(OnActionEventBase):
    """Visits the entities, or calls `on_start(event, context)`, when the process (any, if not given) starts."""

    def __init__(
        self,
        *,
        target_action: Callable[[ExecuteLocal], bool] | ExecuteLocal | None = None,
        on_start: SomeEntitiesType | Callable[[ProcessStarted, LaunchContext], SomeEntitiesType | None],
        **kwargs: Any,
    ) -> None:
        from ..actions.execute_local import ExecuteLocal

        super().__init__(
            action_matcher=target_action,
            on_event=on_start,
            target_event_cls=ProcessStarted,
            target_action_cls=ExecuteLocal,
            **kwargs,
        )
