"""One thread for all sockets of the simulation, so that the physics loop never waits for a peer.

The physics loop and this thread hand work to each other through two mailboxes and share nothing else.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Call = Callable[[], None]


@dataclass
class _Timer:
    period_s: float
    call: Call
    due_s: float


class Mailbox:
    """Calls posted by one thread and run by another, in order."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()

    def post(self, call: Call) -> None:
        """Leave a call for the other thread."""
        self._calls.append(call)

    def run(self) -> None:
        """Run the calls that are waiting now."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def __bool__(self) -> bool:
        return bool(self._calls)


class IoLoop:
    """Selector loop with timers and a mailbox, in a thread of its own.

    Attributes:
        error: the exception that ended the loop, None while all is well.
    """

    def __init__(self, on_error: Call) -> None:
        """`on_error` is called in the loop's thread when a callback raised; the loop has ended then."""
        self.error: BaseException | None = None
        self._on_error = on_error
        self._selector = selectors.DefaultSelector()
        self._mailbox = Mailbox()
        self._timers: list[_Timer] = []
        self._stop = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain)
        self._thread = threading.Thread(target=self._run, name="io", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Run what is in the mailbox, then end the thread and release the selector."""
        self.post(self._request_stop)
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def post(self, call: Call) -> None:
        """Run a call in the loop's thread; may be called from any thread."""
        self._mailbox.post(call)
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def watch(self, fd: Any, events: int, call: Callable[[int], None]) -> None:
        """Call `call(ready_events)` when a file descriptor is ready; replaces an earlier watch of it."""
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, call)
        else:
            self._selector.register(fd, events, call)

    def unwatch(self, fd: Any) -> None:
        """Stop watching a file descriptor."""
        self._selector.unregister(fd)

    def every(self, period_s: float, call: Call) -> None:
        """Run a call on absolute deadlines; missed ones are skipped, never made up for in a burst."""
        self._timers.append(_Timer(period_s, call, time.monotonic() + period_s))

    def _request_stop(self) -> None:
        self._stop = True

    def _drain(self, _events: int) -> None:
        os.read(self._wake_read, 4096)

    def _run(self) -> None:
        try:
            while not self._stop:
                timeout = min((t.due_s for t in self._timers), default=time.monotonic() + 1.0) - time.monotonic()
                for key, events in self._selector.select(max(timeout, 0.0)):
                    key.data(events)
                self._mailbox.run()
                now = time.monotonic()
                for timer in self._timers:
                    if now >= timer.due_s:
                        timer.due_s += timer.period_s * (1 + int((now - timer.due_s) / timer.period_s))
                        timer.call()
        except BaseException as error:
            self.error = error
            self._on_error()


def listen(host: str, port: int) -> socket.socket:
    """Non-blocking TCP listener.

    Raises:
        OSError: the address cannot be used; the message says which one.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
    except OSError as error:
        server.close()
        reason = f"cannot listen on {host}:{port} ({error.strerror}); is another simulation running there?"
        raise OSError(error.errno, reason) from error
    server.listen(8)
    server.setblocking(False)
    return server
