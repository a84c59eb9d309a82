"""Do something after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..event_handler import EventHandler
from ..events.timer_event import TimerEvent
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import create_future
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .opaque_function import OpaqueFunction

if TYPE_CHECKING:
    from ..event import Event
    from ..launch_context import LaunchContext


class TimerAction(Action):
    """Yields its actions once, after the period.

    Args:
        period: seconds.
        actions: what to do then.
        cancel_on_shutdown: a pending timer does not hold up the end of the launch.
    """

    def __init__(
        self,
        *,
        period: float | SomeSubstitutionsType,
        actions: Iterable[LaunchDescriptionEntity],
        cancel_on_shutdown: bool | SomeSubstitutionsType = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        seconds = float(period) if isinstance(period, int) and not isinstance(period, bool) else period
        self.__period = normalize_typed_substitution(seconds, float)
        self.__actions = list(actions)
        self.__cancel_on_shutdown = normalize_typed_substitution(cancel_on_shutdown, bool)
        self.__context_locals: dict[str, Any] = {}
        self.__completed_future: asyncio.Future | None = None
        self.__timer: asyncio.TimerHandle | None = None
        self.__canceled = False

    @property
    def period(self) -> Any:
        return self.__period

    @property
    def actions(self) -> list[LaunchDescriptionEntity]:
        return self.__actions

    def describe(self) -> str:
        return f"TimerAction({self.__period})"

    def describe_conditional_sub_entities(self) -> list[tuple[str, list[LaunchDescriptionEntity]]]:
        return [(f"after {self.describe()}", self.__actions)]

    def handle(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """The actions, with the locals that held when the timer was started."""
        context.extend_locals(self.__context_locals)
        return self.__actions

    def cancel(self) -> None:
        """Do not fire. Harmless before the start, after firing and when cancelled before."""
        self.__canceled = True
        if self.__timer is not None:
            self.__timer.cancel()
        self.__complete()

    def __complete(self) -> None:
        if self.__completed_future is not None and not self.__completed_future.done():
            self.__completed_future.set_result(None)

    def _get_period(self, context: LaunchContext) -> float:
        return perform_typed_substitution(context, self.__period, float)

    def execute(self, context: LaunchContext) -> None:
        self.__completed_future = create_future(context.asyncio_loop)
        if self.__canceled:
            self.__complete()
            return
        # One handler per context serves all timers. It comes last, so that others may react to the event before.
        if "_timer_event_handler" not in context.__dict__:
            context._timer_event_handler = EventHandler(  # type: ignore[attr-defined]
                matcher=lambda event: isinstance(event, TimerEvent),
                entities=OpaqueFunction(function=lambda context: context.locals.event.timer_action.handle(context)),
            )
            context.register_event_handler(context._timer_event_handler, append=True)  # type: ignore[attr-defined]
        self.__context_locals = dict(context.get_locals_as_dict())
        self._start(context)
        if perform_typed_substitution(context, self.__cancel_on_shutdown, bool):
            from ..event_handlers.on_shutdown import OnShutdown

            context.register_event_handler(OnShutdown(on_shutdown=self.__on_shutdown))

    def _start(self, context: LaunchContext) -> None:
        """Arrange for `_fire` to be called after the period."""
        assert context.asyncio_loop is not None
        self.__timer = context.asyncio_loop.call_later(self._get_period(context), self._fire, context)

    def _fire(self, context: LaunchContext) -> None:
        if not self.__canceled:
            context.emit_event_sync(TimerEvent(timer_action=self))
            self.__complete()

    def __on_shutdown(self, event: Event, context: LaunchContext) -> None:
        self.cancel()

    def get_asyncio_future(self) -> asyncio.Future | None:
        return self.__completed_future
