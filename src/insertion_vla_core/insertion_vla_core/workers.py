"""Worker processes of a long command: Ctrl-C is the parent's affair, and no worker outlives it.

with ProcessPoolExecutor(2, mp_context=worker_context(), initializer=start_worker) as pool: ...
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess


class _Worker(SpawnProcess):
    """A process that Ctrl-C does not reach, from its first instruction on: it may come while modules are imported."""

    def start(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the child inherits the mask
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _WorkerContext(SpawnContext):
    Process = _Worker


def worker_context() -> SpawnContext:
    """The context for a pool of workers: each starts anew, without the parent's threads and locks."""
    return _WorkerContext()


def start_worker() -> None:
    """What every worker does first: from here on it ends when the parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent.sentinel,), name="parent", daemon=True).start()


def _leave_with(sentinel: int) -> None:
    """A parent that was killed must not leave its workers waiting for ever."""
    wait([sentinel])
    os._exit(1)
