"""Shut the launch down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import logging
from ..events.process.process_exited import ProcessExited
from ..events.shutdown import Shutdown as ShutdownEvent
from .emit_event import EmitEvent

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class Shutdown(EmitEvent):
    """Ends the launch: all processes are asked to end."""

    def __init__(self, *, reason: str = "reason not given", **kwargs: Any) -> None:
        super().__init__(event=ShutdownEvent(reason=reason), **kwargs)

    def execute(self, context: LaunchContext) -> None:
        event = context.get_locals_as_dict().get("event")
        if isinstance(event, ProcessExited):
            logging.get_logger(__name__).info(
                f"process[{event.process_name}] was required: shutting down launched system"
            )
        super().execute(context)
