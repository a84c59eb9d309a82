"""SIGINT and SIGTERM as an event, also while the main thread waits in C code."""

import signal
import socket
import threading
import traceback
from collections.abc import Callable

from rclpy.task import Future


class EndOnSignal:
    """Completes a future on SIGINT or SIGTERM, wherever the main thread is; ``interrupted`` is called first."""

    def __init__(self, finished: Future) -> None:
        self.interrupted: Callable[[], None] | None = None
        self._finished = finished
        self._completing = threading.Lock()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)

    def __enter__(self) -> "EndOnSignal":
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        # The handlers do nothing: Python's C handler writes the number to the socket even while rclpy waits in C.
        self._before = {number: signal.signal(number, _nothing) for number in (signal.SIGINT, signal.SIGTERM)}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number in self._before:
            # The process ends now; on Ctrl-C a second signal comes, one from the terminal and one from launch.
            signal.signal(number, signal.SIG_IGN)
        self._writer.close()
        self._thread.join(timeout=1.0)
        self._reader.close()

    def settle(self) -> None:
        """Waits until the future's callbacks have run, which is a moment after others may see it done.

        One of them wakes the executor, which must not be shut down before.
        """
        with self._completing:
            pass

    def _watch(self) -> None:
        while numbers := self._reader.recv(16):
            if not {signal.SIGINT, signal.SIGTERM} & set(numbers):
                continue
            if self.interrupted is not None:
                try:
                    self.interrupted()
                except Exception:
                    traceback.print_exc()
            with self._completing:
                if not self._finished.done():
                    self._finished.set_result(None)


def _nothing(number: int, frame: object) -> None:
    """A signal handler that leaves the work to the thread behind the wake-up socket."""
