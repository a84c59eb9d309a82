"""The clock of the commanded path: it runs as fast as the gate lets the arm follow."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from operator import itemgetter

HISTORY = 512  # changes of rate kept: 5 s at 100 Hz, longer than any chunk lives


class PathClock:
    """Path time as a function of time, both in ns: runs at `rate` <= 1 instead of 1 while the arm is slowed down.

    A chunk observed at t0 is indexed by the path time since t0. At full speed that is plain time, so inference latency
    costs steps. When the gate scales the speed down, the path waits for the arm instead of running away from it; at
    rest it stands still, so that the first chunk sets in at its anchor.
    """

    def __init__(self) -> None:
        self._changes: deque[tuple[int, int, float]] = deque(maxlen=HISTORY)  # time, path time there, rate from there

    def at(self, now_ns: int) -> int:
        """Path time [ns] at a time; before the oldest remembered change the rate counts as 1."""
        changes = self._changes
        if not changes:
            return now_ns
        if now_ns >= changes[-1][0]:
            since, path, rate = changes[-1]
        else:
            index = bisect_right(changes, now_ns, key=itemgetter(0))
            if index == 0:
                return changes[0][1] + now_ns - changes[0][0]
            since, path, rate = changes[index - 1]
        return path + int(rate * (now_ns - since))

    def set_rate(self, rate: float, now_ns: int) -> None:
        """From now on path time runs at `rate` (0..1) times time. Calls that go back in time are ignored."""
        if self._changes:
            since, _, current = self._changes[-1]
            if rate == current or now_ns < since:
                return
        self._changes.append((now_ns, self.at(now_ns), rate))
