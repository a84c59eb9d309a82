"""The offset between a sender's clock and this machine's wall clock, estimated from what arrives, and applied.

received - sender = offset + delay, and a delay is never negative: the smallest difference of the last seconds is the
offset plus the shortest delay of the link. The window slides, so drift is followed; a step of either clock by more than
`jump_s` is recognised and the estimate starts afresh.
"""

from __future__ import annotations

import math
from collections import deque

BINS = 10  # the window slides in steps of a tenth
CONFIRM_SAMPLES = 3
CONFIRM_S = 0.3


class ClockOffset:
    """Estimates and applies the offset of one sender.

    Attributes:
        jumps: steps of either clock seen so far.
    """

    def __init__(self, window_s: float = 5.0, jump_s: float = 0.5) -> None:
        """Slide over `window_s` seconds; steps beyond `jump_s` seconds count as jumps."""
        if not (window_s > 0.0 and jump_s > 0.0):
            raise ValueError(f"expected a window and a jump above 0 s, got {window_s} and {jump_s}")
        self.jumps = 0
        self._bin_s = window_s / BINS
        self._jump_s = jump_s
        self._minima: deque[float] = deque(maxlen=BINS)
        self._bin_start_s = 0.0
        self._minimum: float | None = None
        # Differences that only a jump explains, not confirmed yet: (received, sender, difference) of the first one.
        self._candidate: tuple[float, float, float] | None = None
        self._candidate_count = 0
        self._candidate_minimum = 0.0

    @property
    def offset_s(self) -> float | None:
        """Local minus sender's clock [s], including the link's shortest delay; None before the first message."""
        if self._candidate is not None and self._minimum is not None and self._candidate_minimum < self._minimum:
            # No delay explains a smaller difference, so the step is believed at once; it only counts as a jump when
            # it lasts. A single wrong time thus harms nobody but itself.
            return self._candidate_minimum
        return self._minimum

    def to_local_s(self, sender_s: float) -> float:
        """The sender's time on this machine's wall clock [s].

        Raises:
            ValueError: no message has come yet.
        """
        offset = self.offset_s
        if offset is None:
            raise ValueError("expected at least one message before converting times; call update first")
        return sender_s + offset

    def update(self, sender_s: float, received_s: float) -> None:
        """Take in a message sent at `sender_s` (sender's clock) and received at `received_s` (local wall clock)."""
        difference = received_s - sender_s
        if not math.isfinite(difference):
            raise ValueError(f"expected finite times, got sender {sender_s} and received {received_s}")
        if self._minimum is None:
            self._restart(difference, received_s)
        elif abs(difference - self._minimum) > self._jump_s:
            self._suspect(sender_s, received_s, difference)
        else:
            self._candidate = None
            self._slide(difference, received_s)

    def _suspect(self, sender_s: float, received_s: float, difference: float) -> None:
        """A step of a clock, a burst of late messages, or one wrong time: only the first one lasts."""
        assert self._minimum is not None
        first = self._candidate
        if first is None or abs(difference - first[2]) > self._jump_s:
            self._candidate = (received_s, sender_s, difference)
            self._candidate_count = 1
            self._candidate_minimum = difference
            return
        self._candidate_count += 1
        self._candidate_minimum = min(self._candidate_minimum, difference)
        # Larger differences may be delay: a backlog that drains looks alike, but it passes in a moment of local time.
        lasted = min(received_s - first[0], sender_s - first[1])
        if self._candidate_count >= CONFIRM_SAMPLES and (difference < self._minimum or lasted >= CONFIRM_S):
            self.jumps += 1
            self._restart(self._candidate_minimum, received_s)

    def _restart(self, difference: float, received_s: float) -> None:
        self._minima.clear()
        self._minima.append(difference)
        self._bin_start_s = received_s
        self._minimum = difference
        self._candidate = None

    def _slide(self, difference: float, received_s: float) -> None:
        since = received_s - self._bin_start_s
        if since >= self._bin_s * BINS:  # after a silence nothing in the window holds any more
            self._restart(difference, received_s)
            return
        # Small backward steps of the local clock also open a new bin, so that old minima leave in any case.
        if not 0.0 <= since < self._bin_s:
            self._bin_start_s = received_s
            self._minima.append(difference)
        elif difference < self._minima[-1]:
            self._minima[-1] = difference
        self._minimum = min(self._minima)
