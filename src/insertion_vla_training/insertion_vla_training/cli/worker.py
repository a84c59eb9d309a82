"""What every worker process of a verb does first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait


def start_worker() -> None:
    """Leave Ctrl-C to the parent, which gets it too, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent.sentinel,), name="parent", daemon=True).start()


def _leave_with(sentinel: int) -> None:
    """A parent that was killed must not leave its workers waiting for ever."""
    wait([sentinel])
    os._exit(1)
