"""How old were the features at every tick at which the policy acted, and were there any?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.inspection.check import Check, judged
from insertion_vla_training.inspection.rates import MISSING_SHARE

NS = 1e9


def newest_age_s(
    ticks: NDArray[np.int64], stamps: NDArray[np.int64], receive: NDArray[np.int64], usable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Age of the newest datum that had arrived by each tick, inf where there is none.

    Args:
        ticks: (k,) ns.
        stamps, receive: (n,) ns in the order of arrival.
        usable: (n,) False for a withdrawal or features of another instruction: from there on there are none.
    """
    if len(stamps) == 0:
        return np.full(len(ticks), np.inf)
    arrived = np.searchsorted(receive, ticks, side="right") - 1
    newest = np.maximum.accumulate(np.where(usable, stamps, np.iinfo(np.int64).min))
    there = (arrived >= 0) & usable[np.maximum(arrived, 0)]
    age_s = (ticks - np.where(there, newest[np.maximum(arrived, 0)], 0)) / NS
    return np.where(there, age_s, np.inf)


def check_age(name: str, age_s: NDArray[np.float64], max_age_s: float) -> Check:
    """The share of ticks without data that are young enough; what the policy is shown is the same."""
    missing = age_s > max_age_s
    share = float(missing.mean()) if len(missing) else 0.0
    known = age_s[np.isfinite(age_s)]
    typical = f"typically {np.median(known):.2f} s old, at most {known.max():.2f} s" if len(known) else "never there"
    return judged(
        "age", name, share, (None, MISSING_SHARE), "share",
        f"'{name}' are {typical}; at {int(missing.sum())} of {len(missing)} actions they were missing or too old",
        f"the contract allows {max_age_s:g} s; a slower backbone needs fewer views or a smaller model",
        f"at most {100 * MISSING_SHARE:g} % of the actions without them",
    )  # fmt: skip
