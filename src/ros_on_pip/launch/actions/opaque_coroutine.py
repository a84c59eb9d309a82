"""Run a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..utilities import ensure_argument_type

if TYPE_CHECKING:
    from ..event import Event
    from ..launch_context import LaunchContext


class OpaqueCoroutine(Action):
    """Awaits `coroutine(context, *args, **kwargs)` while the launch goes on; cancelled at shutdown.

    With `ignore_context` the context is not passed.
    """

    def __init__(
        self,
        *,
        coroutine: Callable[..., Coroutine[Any, Any, None]],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        ignore_context: bool = False,
        **left_over_kwargs: Any,
    ) -> None:
        super().__init__(**left_over_kwargs)
        if not asyncio.iscoroutinefunction(coroutine):
            raise TypeError(f"OpaqueCoroutine expected a coroutine function for 'coroutine', got '{type(coroutine)}'")
        ensure_argument_type(ignore_context, bool, "ignore_context", "OpaqueCoroutine")
        self.__coroutine = coroutine
        self.__args = list(args or ())
        self.__kwargs = dict(kwargs or {})
        self.__ignore_context = ignore_context
        self.__future: asyncio.Task | None = None

    def __on_shutdown(self, event: Event, context: LaunchContext) -> None:
        if self.__future is not None:
            self.__future.cancel()

    def execute(self, context: LaunchContext) -> None:
        from ..event_handlers.on_shutdown import OnShutdown

        arguments = self.__args if self.__ignore_context else [context, *self.__args]
        assert context.asyncio_loop is not None
        self.__future = context.asyncio_loop.create_task(self.__coroutine(*arguments, **self.__kwargs))
        context.register_event_handler(OnShutdown(on_shutdown=self.__on_shutdown))

    def get_asyncio_future(self) -> asyncio.Future | None:
        return self.__future
