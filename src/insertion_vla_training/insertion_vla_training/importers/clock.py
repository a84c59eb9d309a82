"""Times of imported recordings: seconds of a sender's clock to nanoseconds of the receiver's."""

from __future__ import annotations

import numpy as np
from insertion_vla_core.clock import ClockOffset
from numpy.typing import NDArray

NS = 1e9
ORIGIN_S = 946_684_800.0  # 1 January 2000: where rows without any time begin, so that nobody takes them for real
DEFAULT_RATE_HZ = 10.0  # the control rate
EPOCH_S = (1e9, 1e10)  # 2001 to 2286: what seconds since 1970 look like
SPAN_SPARE_S = 5.0
Seconds = NDArray[np.float64]
Nanoseconds = NDArray[np.int64]


def to_ns(seconds: Seconds) -> Nanoseconds:
    """Seconds (n,) as nanoseconds."""
    return np.round(np.asarray(seconds, np.float64) * NS).astype(np.int64)


def regular_s(count: int, rate_hz: float) -> Seconds:
    """Times (n,) of rows that have none."""
    return ORIGIN_S + np.arange(count) / rate_hz


def check_rising(what: str, seconds: Seconds) -> None:
    """Raises ValueError where a clock went back, or a time is no number."""
    if not np.isfinite(seconds).all():
        raise ValueError(
            f"{what}: expected times, {int((~np.isfinite(seconds)).sum())} are no numbers; export it again"
        )
    back = np.flatnonzero(np.diff(seconds) < 0)
    if len(back):
        step_s = seconds[back[0] + 1] - seconds[back[0]]
        raise ValueError(
            f"{what}: a clock was set back by {-step_s:.3f} s after row {back[0] + 1}; cut the episode there, or "
            "record it again with synchronised clocks (chrony)"
        )


def on_receiver_clock(origin_s: Seconds, send_s: Seconds, receive_s: Seconds) -> tuple[Seconds, float]:
    """When rows were measured, on the receiver's clock.

    The offset between the clocks is estimated as a live node does it, row by row and from the past alone.

    Args:
        origin_s, send_s: (n,) on the sender's clock.
        receive_s: (n,) on the receiver's clock.

    Returns:
        The times (n,) and the offset at the end [s].

    Raises:
        ValueError: the sender's clock was set meanwhile.
    """
    clock = ClockOffset()
    result = np.empty(len(origin_s))
    rows = zip(origin_s.tolist(), send_s.tolist(), receive_s.tolist(), strict=True)
    for row, (origin, send, receive) in enumerate(rows):
        clock.update(send, receive)
        result[row] = clock.to_local_s(origin)
        if clock.jumps:
            raise ValueError(
                f"a clock was set near row {row + 1}; cut the episode there, or record it again with synchronised "
                "clocks (chrony)"
            )
    return result, float(clock.offset_s or 0.0)


def check_overlap(what: str, seconds: Seconds, start_s: float, end_s: float, flag: str) -> None:
    """Raises ValueError when rows (n,) lie outside an episode: they are on another clock."""
    inside = (seconds > start_s - SPAN_SPARE_S) & (seconds < end_s + SPAN_SPARE_S)
    if inside.mean() < 0.5:
        middle_s = float(np.median(seconds)) - 0.5 * (start_s + end_s)
        raise ValueError(
            f"{what}: expected times within the episode, they lie {middle_s:+.1f} s from its middle: their sender has "
            f"another clock; say how far it is off with {flag} (receiver's minus sender's clock)"
        )
