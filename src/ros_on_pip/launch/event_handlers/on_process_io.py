"""When a process writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..event import Event
from ..events.process.process_io import ProcessIO
from ..some_entities_type import SomeEntitiesType
from .on_action_event_base import OnActionEventBase

if TYPE_CHECKING:
    from ..actions.execute_local import ExecuteLocal
    from ..launch_context import LaunchContext

IoCallback = Callable[[ProcessIO], "SomeEntitiesType | None"]


class OnProcessIO(OnActionEventBase):
    """Calls `on_stdin(event)`, `on_stdout(event)` or `on_stderr(event)` with what the process reads or writes."""

    def __init__(
        self,
        *,
        target_action: Callable[[ExecuteLocal], bool] | ExecuteLocal | None = None,
        on_stdin: IoCallback | None = None,
        on_stdout: IoCallback | None = None,
        on_stderr: IoCallback | None = None,
        **kwargs: Any,
    ) -> None:
        from ..actions.execute_local import ExecuteLocal

        callbacks = {0: on_stdin, 1: on_stdout, 2: on_stderr}

        def on_io(event: Event, context: LaunchContext) -> SomeEntitiesType | None:
            callback = callbacks.get(event.fd)  # type: ignore[attr-defined]
            return callback(event) if callback is not None else None  # type: ignore[arg-type]

        super().__init__(
            action_matcher=target_action,
            on_event=on_io,
            target_event_cls=ProcessIO,
            target_action_cls=ExecuteLocal,
            **kwargs,
        )
