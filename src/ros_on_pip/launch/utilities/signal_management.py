"""Signals delivered to an event loop as callbacks."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

SignalCallback = Callable[[int], Any]


class AsyncSafeSignalManager:
    """Context manager that hands signals to callbacks in the loop's thread, and restores the old handlers at exit.

    Callbacks may be registered before and inside the context. Off the main thread, where Python has no signal
    handlers, the manager does nothing: the owner of the main thread handles the signals.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.__loop = loop
        self.__callbacks: dict[int, SignalCallback] = {}
        self.__previous: dict[int, Any] = {}
        self.__active = False

    def __enter__(self) -> AsyncSafeSignalManager:
        self.__active = threading.current_thread() is threading.main_thread()
        for signum in self.__callbacks:
            self.__install(signum)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum in list(self.__previous):
            self.__restore(signum)
        self.__active = False

    def handle(self, signum: int, callback: SignalCallback | None) -> SignalCallback | None:
        """Call `callback(signum)` in the loop when the signal comes, or no longer with None; the former callback."""
        former = self.__callbacks.pop(signum, None)
        if callback is not None:
            self.__callbacks[signum] = callback
            self.__install(signum)
        elif signum in self.__previous:
            self.__restore(signum)
        return former

    def __install(self, signum: int) -> None:
        if self.__active and signum not in self.__previous:
            self.__previous[signum] = signal.signal(signum, self.__on_signal)

    def __restore(self, signum: int) -> None:
        previous = self.__previous.pop(signum)
        # None: the handler was not installed from Python and cannot be put back.
        signal.signal(signum, signal.SIG_DFL if previous is None else previous)

    def __on_signal(self, signum: int, frame: Any) -> None:
        callback = self.__callbacks.get(signum)
        if callback is not None and not self.__loop.is_closed():
            self.__loop.call_soon_threadsafe(callback, signum)
