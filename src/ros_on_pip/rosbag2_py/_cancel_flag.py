"""A flag that a signal handler may set."""

import time

SLICE_S = 0.02


class CancelFlag:
    """Like threading.Event without its lock, which a signal handler could find held by the thread it interrupts."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the flag is set or the time is over; returns whether it is set."""
        deadline = time.monotonic() + timeout_s
        while not self._is_set and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_S))
        return self._is_set
