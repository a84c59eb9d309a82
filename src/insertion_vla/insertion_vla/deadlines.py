"""Absolute deadlines on the steady clock: a loop that was late skips what it missed and never catches up in a burst."""

import math
import threading
import time
from collections.abc import Iterator

# A deadline that is late by no more than this share of the period is still kept; anything later is skipped.
TOLERANCE = 0.1


class Deadlines:
    """Deadlines at start + k * period.

    Attributes:
        period_s: Time between deadlines.
        missed: Deadlines skipped since the start because the work before them took too long.
    """

    def __init__(self, period_s: float, start_s: float) -> None:
        self.period_s = period_s
        self.missed = 0
        self._start_s = start_s
        self._index = 0

    def current_s(self) -> float:
        """The deadline to wait for, on the clock of `start_s`."""
        return self._start_s + self._index * self.period_s

    def advance(self, now_s: float) -> None:
        """Moves on after the work of one deadline; those passed by more than the tolerance are skipped."""
        # Counting from the start keeps rounding from accumulating into drift.
        following = max(self._index + 1, math.ceil((now_s - self._start_s) / self.period_s - TOLERANCE))
        self.missed += following - self._index - 1
        self._index = following


def ticks(period_s: float, stop: threading.Event) -> Iterator[Deadlines]:
    """Yields at each deadline until `stop` is set; waits on the event, so that stopping is immediate."""
    deadlines = Deadlines(period_s, time.monotonic())
    while not stop.wait(max(0.0, deadlines.current_s() - time.monotonic())):
        yield deadlines
        deadlines.advance(time.monotonic())
