"""What the entities of one launch share while it runs."""

from __future__ import annotations

import asyncio
import collections
import os
import queue
from collections.abc import Callable, Iterable
from typing import Any

from .event import Event
from .event_handler import BaseEventHandler
from .substitution import Substitution


class AttributeDict:
    """Read-only view of a dictionary by attribute."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__["_values"] = values

    def __getattr__(self, key: str) -> Any:
        values = self.__dict__["_values"]
        if key not in values:
            raise AttributeError(
                f"context.locals does not contain attribute '{key}', it contains: [{', '.join(values)}]"
            )
        return values[key]

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"can't set attribute '{key}', locals are read-only")


class LaunchContext:
    """Launch configurations, environment, locals, event handlers and the queue of events."""

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False) -> None:
        self.__argv = list(argv) if argv is not None else []
        self.__noninteractive = noninteractive

        # Thread-safe, so that events may be emitted from any thread without a running loop.
        self._event_queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._event_handlers: collections.deque[BaseEventHandler] = collections.deque()
        self._completion_futures: list[asyncio.Future] = []
        self.__wake: Callable[[], None] | None = None

        self.__globals: dict[str, Any] = {}
        self.__locals_stack: list[dict[str, Any]] = []
        self.__locals: dict[str, Any] = {}
        self.__combined_locals: dict[str, Any] | None = None

        self.__launch_configurations_stack: list[dict[str, Any]] = []
        self.__launch_configurations: dict[str, Any] = {}

        self.__environment_stack: list[dict[str, str]] = []
        self.__environment_reset = os.environ.copy()

        self.__is_shutdown = False
        self.__asyncio_loop: asyncio.AbstractEventLoop | None = None

    @property
    def argv(self) -> list[str]:
        return self.__argv

    @property
    def noninteractive(self) -> bool:
        return self.__noninteractive

    @property
    def is_shutdown(self) -> bool:
        return self.__is_shutdown

    def _set_is_shutdown(self, state: bool) -> None:
        self.__is_shutdown = state

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop | None:
        return self.__asyncio_loop

    def _set_asyncio_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.__asyncio_loop = loop

    def _set_wake(self, wake: Callable[[], None] | None) -> None:
        """The running service's way of being told that there is a new event or future."""
        self.__wake = wake

    def _woken(self) -> None:
        wake = self.__wake
        if wake is not None:
            wake()

    def add_completion_future(self, completion_future: asyncio.Future) -> None:
        """A future that the launch service waits for before it ends."""
        self._completion_futures.append(completion_future)
        self._woken()

    def _push_locals(self) -> None:
        self.__locals_stack.append(dict(self.__locals))

    def _pop_locals(self) -> None:
        if not self.__locals_stack:
            raise RuntimeError("locals stack unexpectedly empty")
        self.__locals = self.__locals_stack.pop()
        self.__combined_locals = None

    def extend_globals(self, extensions: dict[str, Any]) -> None:
        """Add members to `locals` for good; those of `extend_locals` come before them."""
        self.__globals.update(extensions)
        self.__combined_locals = None

    def extend_locals(self, extensions: dict[str, Any]) -> None:
        """Add members to `locals` until the locals are popped."""
        self.__locals.update(extensions)
        self.__combined_locals = None

    def get_locals_as_dict(self) -> dict[str, Any]:
        if self.__combined_locals is None:
            self.__combined_locals = {**self.__globals, **self.__locals}
        return self.__combined_locals

    @property
    def locals(self) -> AttributeDict:
        return AttributeDict(self.get_locals_as_dict())

    @property
    def launch_configurations(self) -> dict[str, Any]:
        return self.__launch_configurations

    def _push_launch_configurations(self) -> None:
        self.__launch_configurations_stack.append(dict(self.__launch_configurations))

    def _pop_launch_configurations(self) -> None:
        if not self.__launch_configurations_stack:
            raise RuntimeError("launch_configurations stack unexpectedly empty")
        self.__launch_configurations = self.__launch_configurations_stack.pop()

    @property
    def environment(self) -> os._Environ[str]:
        """This process's environment, which the launched processes inherit."""
        return os.environ

    def _push_environment(self) -> None:
        self.__environment_stack.append(os.environ.copy())

    def _pop_environment(self) -> None:
        if not self.__environment_stack:
            raise RuntimeError("environment stack unexpectedly empty")
        self._replace_environment(self.__environment_stack.pop())

    def _reset_environment(self) -> None:
        """Back to the environment of the context's construction."""
        self._replace_environment(self.__environment_reset)

    def _replace_environment(self, environment: dict[str, str]) -> None:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)

    def would_handle_event(self, event: Event) -> bool:
        return any(handler.matches(event) for handler in self._event_handlers)

    def register_event_handler(self, event_handler: BaseEventHandler, append: bool = False) -> None:
        """Put the handler before the others, or after them with `append`."""
        if append:
            self._event_handlers.append(event_handler)
        else:
            self._event_handlers.appendleft(event_handler)

    def unregister_event_handler(self, event_handler: BaseEventHandler) -> None:
        self._event_handlers.remove(event_handler)

    def emit_event_sync(self, event: Event) -> None:
        """Queue an event; callable from any thread."""
        self._event_queue.put(event)
        self._woken()

    async def emit_event(self, event: Event) -> None:
        self.emit_event_sync(event)

    def perform_substitution(self, substitution: Substitution) -> str:
        return substitution.perform(self)
