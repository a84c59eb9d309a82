"""Did every stream come as often and as evenly as the contract promises? Times are stamps in ns, in any order.

The bounds are those of the recorder's own audit (core's rate_audit), here on stamps instead of receive times and over
the time in which the policy acted.
"""

from __future__ import annotations

import numpy as np
from insertion_vla_core.rate_audit import LEAST_SHARE, MOST_LOST, Promise
from numpy.typing import NDArray

from insertion_vla_training.inspection.check import Check, judged, not_judged

FASTER = 2.0  # times the promised rate: the observation's memory holds no more
MISSING_SHARE = 0.05  # of the rows may be no number while the policy acts
LATTICE_SHARE = 0.8  # of the intervals must be multiples of the usual one, to tell a dropped frame from jitter
LATTICE_WIDTH = 0.3
NS = 1e9

Stamps = NDArray[np.int64]
Span = tuple[int, int]


def check_rate(name: str, stamps: Stamps, promise: Promise) -> Check:
    """Rows per second, from the first to the last row."""
    times = np.unique(stamps)
    if len(times) < 2:
        return judged("rate", name, 0.0, (LEAST_SHARE * promise.rate_hz, None), "Hz", f"'{name}' has {len(times)} rows",
                      "start its node before recording")  # fmt: skip
    measured = (len(times) - 1) / ((times[-1] - times[0]) / NS)
    return judged(
        "rate", name, measured, (LEAST_SHARE * promise.rate_hz, FASTER * promise.rate_hz), "Hz",
        f"'{name}' came at {measured:.4g} Hz, the contract says {promise.rate_hz:g} Hz",
        "look for a slow driver, a busy machine or a contract of another set-up",
    )  # fmt: skip


def check_gap(name: str, stamps: Stamps, promise: Promise, span: Span) -> Check:
    """The longest time without a row while the policy acted.

    Args:
        name, stamps: of the stream.
        promise: what the contract says of its topic.
        span: first and last tick [ns] of the episode.
    """
    longest_s, at_ns = longest_gap(stamps, span)
    after_s = max(0.0, (at_ns - span[0]) / NS)
    return judged(
        "gap", name, longest_s, (None, promise.longest_gap_s), "s",
        f"'{name}' was silent for up to {longest_s:.3g} s, {after_s:.1f} s after the first action",
        "the policy cannot act on data that are missing; look for what stopped the stream",
    )  # fmt: skip


def longest_gap(stamps: Stamps, span: Span) -> tuple[float, int]:
    """The longest time [s] without a row that touches the span, and when [ns] it began."""
    times = np.unique(stamps)
    inside = times[(times > span[0]) & (times < span[1])]
    # A row just before the span stands in for its beginning; what comes later than the span does not matter.
    before = times[times <= span[0]][-1:]
    edges = np.concatenate([before if len(before) else [span[0]], inside, [span[1]]]).astype(np.int64)
    if len(times[times >= span[1]]):
        edges[-1] = times[times >= span[1]][0]
    gaps = np.diff(edges)
    at = int(np.argmax(gaps))
    return float(gaps[at]) / NS, int(edges[at])


def check_dropped(name: str, stamps: Stamps) -> Check:
    """Rows that are missing between others, as the regular rhythm of the stream shows."""
    missing, first_ns = dropped(stamps)
    if missing is None:
        return not_judged(
            "dropped", name, f"'{name}' comes irregularly, so dropped rows cannot be told from its stamps"
        )
    total = missing + len(stamps)
    where = f", the first {(first_ns - int(stamps.min())) / NS:.1f} s after its start" if missing else ""
    return judged(
        "dropped", name, missing, (None, max(1.0, MOST_LOST * total)), "rows",
        f"'{name}' misses {missing} of {total} rows{where}",
        "look for lost packets, a full queue or a slow disk",
    )  # fmt: skip


def dropped(stamps: Stamps) -> tuple[int | None, int]:
    """How many rows are missing between others, and when [ns] the first one is; None where there is no rhythm."""
    times = np.unique(stamps)
    if len(times) < 3:
        return None, 0
    intervals = np.diff(times)
    usual = float(np.median(intervals))
    steps = intervals / usual
    whole = np.rint(steps)
    regular = (np.abs(steps - whole) < LATTICE_WIDTH) & (whole >= 1)
    if regular.mean() < LATTICE_SHARE:
        return None, 0
    missing = np.maximum(whole - 1, 0).astype(int)
    first = int(np.argmax(missing > 0))
    return int(missing.sum()), int(times[first])


def check_complete(name: str, stamps: Stamps, finite: NDArray[np.bool_], span: Span) -> Check:
    """Rows that are no number while the policy acted: a sensor that was not ready.

    Args:
        name, stamps: of the stream.
        finite: (n,) whether all numbers of a row are.
        span: first and last tick [ns].
    """
    acting = (stamps >= span[0]) & (stamps <= span[1])
    share = float(np.mean(~finite[acting])) if acting.any() else 1.0
    return judged(
        "complete", name, share, (None, MISSING_SHARE), "share",
        f"{100 * share:.3g} % of the rows of '{name}' are not a number",
        "wait until its sensor is ready (force: tare) before the policy acts",
    )  # fmt: skip
