"""Keeps a loop on absolute deadlines of the steady clock and tells how well it did."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .device_clock import stamp

# A loop this late (s) catches up tick by tick; beyond it simulated time gives way, so that timeouts of the simulated
# controller do not run out in a burst of ticks during which no command could arrive.
MAX_CATCH_UP_S = 0.020


@dataclass
class Pace:
    """Deadlines of a periodic loop.

    Attributes:
        late: ticks that started more than a period late.
        skipped: ticks that were given up.
        worst_s: largest lateness.
    """

    period_s: float
    late: int = 0
    skipped: int = 0
    worst_s: float = 0.0
    done: int = 0

    def __post_init__(self) -> None:
        self._start_s = time.monotonic()
        self._mark = (self._start_s, 0)
        self._recent = 1.0

    def wait(self) -> float:
        """Sleep until the next deadline; returns the device time that the tick stands for."""
        deadline_s = self._start_s + (self.done + self.skipped) * self.period_s
        now_s = time.monotonic()
        if now_s < deadline_s:
            time.sleep(deadline_s - now_s)
            now_s = time.monotonic()
        late_s = now_s - deadline_s
        self.worst_s = max(self.worst_s, late_s)
        if late_s > self.period_s:
            self.late += 1
        if late_s > MAX_CATCH_UP_S:
            skip = int(late_s / self.period_s)
            self.skipped += skip
            deadline_s += skip * self.period_s
        self.done += 1
        if now_s - self._mark[0] >= 1.0:
            self._recent = (self.done - self._mark[1]) * self.period_s / (now_s - self._mark[0])
            self._mark = (now_s, self.done)
        return stamp(deadline_s)

    def figures(self) -> dict[str, float]:
        """Real-time factor since the start and over the last second, and the lateness counters."""
        elapsed_s = max(time.monotonic() - self._start_s, 1e-9)
        return {
            "real_time_factor": min(self.done * self.period_s / elapsed_s, 1.0),
            "recent_real_time_factor": min(self._recent, 1.0),
            "late_ticks": self.late,
            "skipped_ticks": self.skipped,
            "worst_lateness_s": self.worst_s,
            "elapsed_s": elapsed_s,
        }
