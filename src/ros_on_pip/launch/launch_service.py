"""Runs launch descriptions."""

from __future__ import annotations

import asyncio
import signal
import threading
import traceback
from collections.abc import Coroutine, Iterable
from typing import Any

from . import logging
from .actions.execute_local import ExecuteLocal
from .event import Event
from .event_handlers.on_include_launch_description import OnIncludeLaunchDescription
from .event_handlers.on_shutdown import OnShutdown
from .events.include_launch_description import IncludeLaunchDescription
from .events.shutdown import Shutdown
from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .utilities.normalize_to_list_of_entities_impl import normalize_to_list_of_entities
from .utilities.signal_management import AsyncSafeSignalManager
from .utilities.visit_all_entities_and_collect_futures_impl import EntityFuture, visit_into

# How long a run that is cut short waits for the processes that it has killed.
KILLED_S = 2.0


class LaunchService:
    """Includes launch descriptions and runs until everything in them has ended.

    Args:
        argv: arguments for the entities, see LaunchContext.argv.
        noninteractive: there is no terminal whose Ctrl-C reaches the launched processes; they are sent a SIGINT.
        debug: log at level DEBUG, with the traceback of an error, and let asyncio check its use.
    """

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False, debug: bool = False) -> None:
        self.__argv = list(argv) if argv is not None else []
        self.__debug = debug
        logging.launch_config.level = logging.DEBUG if debug else logging.INFO
        self.__logger = logging.get_logger("launch")
        logging.log_launch_config(logger=self.__logger)
        self.__context = LaunchContext(argv=self.__argv, noninteractive=noninteractive)
        self.__context.register_event_handler(OnIncludeLaunchDescription())
        self.__context.register_event_handler(OnShutdown(on_shutdown=self.__on_shutdown))
        self.__entity_futures: list[EntityFuture] = []
        self.__shutting_down = False
        self.__return_code = 0
        self.__run_lock = threading.Lock()
        self.__loop: asyncio.AbstractEventLoop | None = None
        self.__run_thread: int | None = None

    @property
    def context(self) -> LaunchContext:
        return self.__context

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None:
        """Loop of the run in progress."""
        return self.__loop

    @property
    def task(self) -> asyncio.Task | None:
        """Task of the run in progress."""
        return getattr(self, "_LaunchService__run_task", None)

    def emit_event(self, event: Event) -> None:
        """Queue an event, from any thread, before or during a run."""
        self.__context.emit_event_sync(event)

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        """Visit the description when the launch runs, or now if it does."""
        self.emit_event(IncludeLaunchDescription(launch_description))

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run until all is done, or until a shutdown; 0, or 1 after an error.

        SIGINT and SIGTERM end the launched processes in good order, SIGQUIT kills them. Signals are handled only in
        the main thread.
        """
        loop = asyncio.new_event_loop()
        loop.set_debug(self.__debug)
        task = loop.create_task(self.run_async(shutdown_when_idle=shutdown_when_idle))
        try:
            while True:
                try:
                    return loop.run_until_complete(task)
                except KeyboardInterrupt:  # a handler of someone else's raised it; the task goes on
                    self.__on_sigint(signal.SIGINT)
        finally:
            _close(loop)

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Like `run`, within a running event loop."""
        if not self.__run_lock.acquire(blocking=False):
            raise RuntimeError("LaunchService cannot be run multiple times concurrently.")
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        try:
            self.__start_run(loop, wake)
            with AsyncSafeSignalManager(loop) as manager:
                manager.handle(signal.SIGINT, self.__on_sigint)
                manager.handle(signal.SIGTERM, self.__on_sigterm)
                manager.handle(signal.SIGQUIT, self.__on_sigquit)
                try:
                    while not await self.__step(wake, shutdown_when_idle):
                        pass
                except asyncio.CancelledError:
                    self.__logger.error("run task was canceled")
                    await self.__kill_processes()
                    return 1
            return self.__return_code
        finally:
            self.__context._set_wake(None)
            self.__context._set_asyncio_loop(None)
            self.__loop = self.__run_thread = self.__run_task = None
            self.__run_lock.release()

    def __start_run(self, loop: asyncio.AbstractEventLoop, wake: asyncio.Event) -> None:
        self.__loop = loop
        self.__run_thread = threading.get_ident()
        self.__run_task = asyncio.current_task()
        self.__return_code = 0
        self.__shutting_down = False
        self.__interrupted = False
        self.__context._set_is_shutdown(False)
        self.__context._set_asyncio_loop(loop)
        self.__context._set_wake(lambda: loop.is_closed() or loop.call_soon_threadsafe(wake.set))

    async def __step(self, wake: asyncio.Event, shutdown_when_idle: bool) -> bool:
        """Handle the events that are there, wait for more; True at the end of the launch."""
        wake.clear()
        try:
            self.__handle_events()
            futures = self.__pending_futures()
        except Exception as error:
            self.__fail(error)
            return False
        if not self.__context._event_queue.empty():
            await asyncio.sleep(0)
            return False
        if not futures:
            if self.__shutting_down:
                return True
            if shutdown_when_idle:
                self.__shutdown(reason="idle", due_to_sigint=False)
                return False
        waiting = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait([waiting, *futures], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return False

    def __handle_events(self) -> None:
        """Those that are there now: events that cause further ones without end must not keep signals out."""
        for _ in range(self.__context._event_queue.qsize()):
            self.__handle_event(self.__context._event_queue.get_nowait())

    def __handle_event(self, event: Event) -> None:
        self.__logger.debug(f"processing event: '{event.name}'")
        for handler in list(self.__context._event_handlers):
            if not handler.matches(event):
                continue
            self.__context._push_locals()
            try:
                entities = handler.handle(event, self.__context)
                for entity in normalize_to_list_of_entities(entities) if entities is not None else ():
                    visit_into(entity, self.__context, self.__entity_futures)
            finally:
                self.__context._pop_locals()

    def __pending_futures(self) -> list[asyncio.Future]:
        """Futures of work in progress; the error of work that has failed is raised."""
        futures = self.__context._completion_futures
        done = [future for _, future in self.__entity_futures if future.done()]
        done += [future for future in futures if future.done()]
        self.__entity_futures = [pair for pair in self.__entity_futures if not pair[1].done()]
        futures[:] = [future for future in futures if not future.done()]
        for future in done:
            if not future.cancelled() and (error := future.exception()) is not None:
                raise error
        return [*(future for _, future in self.__entity_futures), *futures]

    def __fail(self, error: Exception) -> None:
        message = f"Caught exception in launch (see debug for traceback): {error or type(error).__name__}"
        self.__logger.debug("".join(traceback.format_exception(type(error), error, error.__traceback__)))
        self.__logger.error(message)
        self.__return_code = 1
        self.__shutdown(reason=message, due_to_sigint=False)

    def __on_shutdown(self, event: Event, context: LaunchContext) -> None:
        self.__shutting_down = True
        context._set_is_shutdown(True)

    def __shutdown(self, *, reason: str, due_to_sigint: bool) -> None:
        if not self.__shutting_down:
            self.__shutting_down = True
            self.__context._set_is_shutdown(True)
            self.__context.emit_event_sync(Shutdown(reason=reason, due_to_sigint=due_to_sigint))

    def shutdown(self, force_sync: bool = False) -> Coroutine[Any, Any, None] | None:
        """End the run in progress, from any thread; nothing if there is none.

        In the thread of the run a coroutine is returned, to be awaited or made a task, unless `force_sync`.
        """
        if self.__loop is None:
            return None
        if not force_sync and threading.get_ident() == self.__run_thread:
            return self.__shutdown_later()
        self.__shutdown(reason="LaunchService.shutdown() called", due_to_sigint=False)
        return None

    async def __shutdown_later(self) -> None:
        self.__shutdown(reason="LaunchService.shutdown() called", due_to_sigint=False)

    def __on_sigint(self, signum: int) -> None:
        message = "user interrupted with ctrl-c (SIGINT)"
        if self.__interrupted:
            self.__logger.warning(f"{message} again, ignoring...")
            return
        self.__interrupted = True
        self.__logger.warning(message)
        self.__shutdown(reason="ctrl-c (SIGINT)", due_to_sigint=True)

    def __on_sigterm(self, signum: int) -> None:
        if self.__interrupted:
            self.__logger.warning("terminated (SIGTERM) again, ignoring...")
            return
        self.__interrupted = True
        self.__logger.warning("terminated (SIGTERM), shutting down the launched processes")
        # A SIGTERM has reached nobody but us: the processes are sent a SIGINT.
        self.__shutdown(reason="terminated (SIGTERM)", due_to_sigint=False)

    def __on_sigquit(self, signum: int) -> None:
        self.__logger.error("user interrupted with ctrl-\\ (SIGQUIT), terminating...")
        if self.__run_task is not None:
            self.__run_task.cancel()

    async def __kill_processes(self) -> None:
        """The run ends at once: no process is left behind."""
        processes = [pair for pair in self.__entity_futures if isinstance(pair[0], ExecuteLocal)]
        for entity, _ in processes:
            entity._kill()  # type: ignore[attr-defined]
        if processes:
            await asyncio.wait([future for _, future in processes], timeout=KILLED_S)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still waits in the loop, and close it."""

    async def cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await loop.shutdown_asyncgens()

    loop.run_until_complete(cancel_all())
    loop.close()
