"""Can the force be true? Stuck, saturated, drifting or untared; and are there A-lines with it?

The lengths that are bounds here are the gate's own (config/limits.yaml): what stops the arm is not fit to learn from.
"""

from __future__ import annotations

import math

import numpy as np
from insertion_vla_core.limits import Limits
from numpy.typing import NDArray

from insertion_vla_training.inspection.check import Check, judged, not_judged

CONTACT_AUX = 0.5  # auxiliary channel of the chunk: from here on contact is expected
PLATEAU_ROWS = 5  # equal rows in a row; noise alone does not do that
MEAN_S = 1.0
MEAN_SHARE = 0.5  # so much of a second must be free of contact
NS = 1e9

Stamps = NDArray[np.int64]
Force = NDArray[np.float64]


def check_force(stamps: Stamps, force: Force, free: NDArray[np.bool_], limits: Limits, unit: str) -> list[Check]:
    """All checks of the axial force.

    Args:
        stamps: (n,) ns.
        force: (n,) NaN for no datum.
        free: (n,) rows at which no contact was expected.
        limits: of the gate, which are in newtons.
        unit: of the force; in any other than N only what no sensor does is looked for.
    """
    finite = np.isfinite(force)
    if finite.sum() < 2:
        return [not_judged("stuck", "force", "there is no force to look at")]
    stamps, force, free = stamps[finite], force[finite], free[finite]
    if unit != "N":
        # The gate's forces say nothing about other units.
        return [check_stuck(stamps, force, limits), check_saturated(force, math.inf)]
    return [
        check_stuck(stamps, force, limits),
        check_saturated(force, limits.force_saturation),
        *_free_of_contact(stamps[free], force[free], limits),
    ]


def check_stuck(stamps: Stamps, force: Force, limits: Limits) -> Check:
    """The very same value for too long."""
    start, stop = _longest_run(force)
    length_s = (stamps[stop - 1] - stamps[start]) / NS
    return judged(
        "stuck", "force", float(length_s), (None, limits.force_stuck), "s",
        f"the force stood at exactly {force[start]:.4f} for {length_s:.3g} s",
        "the sensor or its driver repeats old values; restart it",
    )  # fmt: skip


def check_saturated(force: Force, end_of_range: float) -> Check:
    """Rows at the end of the sensor's range, or cut off flat at the largest or smallest value."""
    flat = sum(_plateau(force, end) for end in {float(force.max()), float(force.min())})
    share = (flat + int(np.count_nonzero(np.abs(force) >= end_of_range))) / len(force)
    return judged(
        "saturated", "force", share, (None, 0.0), "share",
        f"{100 * share:.3g} % of the forces are cut off or at the end of the range ({force.min():.3g} to "
        f"{force.max():.3g})",
        "the sensor was overloaded; check its scale, tare it, and throw this episode away",
    )  # fmt: skip


def _free_of_contact(stamps: Stamps, force: Force, limits: Limits) -> list[Check]:
    means = second_medians(stamps, force)
    if len(means) == 0:
        said = "no second without contact, so the baseline cannot be seen"
        return [not_judged(name, "force", said) for name in ("baseline", "force_drift")]
    worst = float(means[np.argmax(np.abs(means))])
    wander = float(means.max() - means.min())
    return [
        judged("baseline", "force", abs(worst), (None, limits.force_drift), "N",
               f"without contact the force read {worst:+.3g} N", "tare the sensor before every episode"),
        judged("force_drift", "force", wander, (None, limits.force_contact), "N",
               f"without contact the force wandered by {wander:.3g} N",
               "a drift as large as force_contact looks like contact; let the sensor warm up, tare it"),
    ]  # fmt: skip


def second_medians(stamps: Stamps, force: Force) -> Force:
    """Median force of every second of which at least half is there."""
    if len(stamps) < 2:
        return np.zeros(0)
    second = (stamps - stamps[0]) // int(MEAN_S * NS)
    usual = float(np.median(np.diff(stamps))) / NS
    groups = [force[second == number] for number in np.unique(second)]
    return np.array([np.median(group) for group in groups if len(group) * usual >= MEAN_SHARE * MEAN_S])


def free_rows(stamps: Stamps, chunk_stamps: Stamps, aux: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Rows (n,) before or at chunks that expect no contact; none without an auxiliary channel.

    Args:
        stamps: (n,) ns of the rows.
        chunk_stamps: (k,) ns of the chunks.
        aux: (k,) the largest auxiliary value of each chunk.
    """
    if aux is None or len(aux) == 0:
        return np.zeros(len(stamps), bool)
    order = np.argsort(chunk_stamps)
    newest = np.searchsorted(chunk_stamps[order], stamps, side="right") - 1
    free = aux[order][np.maximum(newest, 0)] < CONTACT_AUX
    last = chunk_stamps[order][-1]
    return free & (stamps <= last)


def _longest_run(values: Force) -> tuple[int, int]:
    """Where the longest run of equal values begins and ends."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
    at = int(np.argmax(np.diff(edges)))
    return int(edges[at]), int(edges[at + 1])


def _plateau(values: Force, end: float) -> int:
    """Rows of runs at the value `end` that are too long for noise."""
    at_end = np.concatenate([[False], values == end, [False]])
    starts, stops = np.flatnonzero(np.diff(at_end.astype(int)) == 1), np.flatnonzero(np.diff(at_end.astype(int)) == -1)
    lengths = stops - starts
    return int(lengths[lengths >= PLATEAU_ROWS].sum())
