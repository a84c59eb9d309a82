"""Do the clocks agree? The time from stamp to receipt is transport and the offset of the sender's clock together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.inspection.check import Check, judged, not_judged

AHEAD_S = 0.002  # clocks that are synchronised well differ by less
DRIFT_SHARE = 0.25  # of the age that the contract allows
BEST = 0.05  # quantile of the delay that load on the machine hardly touches
ROWS_MIN = 40  # so that the least delay of a quarter is not chance
NS = 1e9


def delays_s(stamps: NDArray[np.int64], receive: NDArray[np.int64]) -> NDArray[np.float64]:
    """Time from stamp to receipt of the newest row of every message, in the order of arrival."""
    newest = newest_rows(receive)
    return (receive[newest] - stamps[newest]) / NS


def newest_rows(receive: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The last row (n,) of every message: rows of a block were received together."""
    return np.concatenate([receive[1:] != receive[:-1], [True]]) if len(receive) else np.zeros(0, bool)


def check_offset(name: str, delay_s: NDArray[np.float64], max_age_s: float) -> Check:
    """The typical delay: below zero the sender's clock is ahead, above the allowed age the policy never sees it."""
    if len(delay_s) == 0:
        return not_judged("offset", name, f"'{name}' has no rows")
    typical = float(np.median(delay_s))
    return judged(
        "offset", name, typical, (-AHEAD_S, max_age_s), "s",
        f"'{name}' was received {1e3 * typical:.3g} ms after its stamp",
        "synchronise the clocks (chrony), or stamp where it is measured",
    )  # fmt: skip


def check_drift(name: str, delay_s: NDArray[np.float64], max_age_s: float) -> Check:
    """How much the least delay changed from the first to the last quarter of the episode."""
    if len(delay_s) < ROWS_MIN:
        return not_judged("clock_drift", name, f"'{name}' has too few rows to see its clock drift")
    quarter = len(delay_s) // 4
    change = float(np.quantile(delay_s[-quarter:], BEST) - np.quantile(delay_s[:quarter], BEST))
    bound = DRIFT_SHARE * max_age_s
    return judged(
        "clock_drift", name, change, (-bound, bound), "s",
        f"the delay of '{name}' changed by {1e3 * change:+.3g} ms during the episode",
        "the clocks drift apart or a queue fills up; synchronise them (chrony) or relieve the machine",
    )  # fmt: skip
