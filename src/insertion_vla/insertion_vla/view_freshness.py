"""Is a camera view alive? Not without a new frame for three periods, and not when its picture never changes."""

import math
from dataclasses import dataclass
from zlib import crc32

PERIODS = 3
# A sensor's noise makes any two frames differ; this many equal ones in a row mean a frozen source.
FROZEN_FRAMES = 4


@dataclass(frozen=True)
class Frame:
    """The newest compressed frame of a view."""

    stamp_ns: int
    data: bytes


class ViewFreshness:
    """Newest frame and health of one view; times in seconds on the steady clock."""

    def __init__(self, view: str, rate_hz: float, started_s: float) -> None:
        self.view = view
        self.frame: Frame | None = None
        self._limit_s = PERIODS / rate_hz
        self._received_s = started_s
        self._checksum: int | None = None
        self._equal = 1

    def push(self, stamp_ns: int, data: bytes, now_s: float) -> None:
        """Takes a frame; one with the stamp of the last is no new frame (an older one may be a clock step: it is)."""
        if self.frame is not None and stamp_ns == self.frame.stamp_ns:
            return
        checksum = crc32(data)
        self._equal = self._equal + 1 if checksum == self._checksum else 1
        self._checksum = checksum
        self._received_s = now_s
        self.frame = Frame(stamp_ns, data)

    def age_s(self, now_s: float) -> float:
        """Seconds since the last new frame arrived, NaN before the first."""
        return now_s - self._received_s if self.frame is not None else math.nan

    def problem(self, now_s: float) -> str:
        """What is wrong with the view, one sentence; empty when it is alive."""
        silent_s = now_s - self._received_s
        if silent_s > self._limit_s:
            return f"view '{self.view}': no new frame for {silent_s:.1f} s (limit {self._limit_s:.1f} s)"
        if self.frame is None:
            return f"view '{self.view}': waiting for the first frame"
        if self._equal >= FROZEN_FRAMES:
            return f"view '{self.view}' is frozen: {self._equal} equal frames in a row"
        return ""
