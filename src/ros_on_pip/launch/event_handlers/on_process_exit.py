"""When a process ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..events.process.process_exited import ProcessExited
from ..some_entities_type import SomeEntitiesType
from .on_action_event_base import OnActionEventBase

if TYPE_CHECKING:
    from ..actions.execute_local import ExecuteLocal
    from ..launch_context import LaunchContext


class OnProcessExit(OnActionEventBase):
    """Visits the entities, or calls `on_exit(event, context)`, when the process (any, if not given) ends."""

    def __init__(
        self,
        *,
        target_action: Callable[[ExecuteLocal], bool] | ExecuteLocal | None = None,
        on_exit: SomeEntitiesType | Callable[[ProcessExited, LaunchContext], SomeEntitiesType | None],
        **kwargs: Any,
    ) -> None:
        from ..actions.execute_local import ExecuteLocal

        super().__init__(
            action_matcher=target_action,
            on_event=on_exit,
            target_event_cls=ProcessExited,
            target_action_cls=ExecuteLocal,
            **kwargs,
        )
