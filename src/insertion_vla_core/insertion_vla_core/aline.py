"""Distance to the nearest surface ahead of the needle, from the A-lines of the OCT sensor in its tip.

An A-line is a depth profile of 1025 bins over 5 mm, bin 0 at the tip: speckle, and a peak where a surface is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insertion_vla_core.geometry import Array

RANGE_M = 0.005
SMOOTHING_BINS = 13  # about the width of a surface's peak; averages the speckle inside it
THRESHOLD_SIGMA = 9.0  # speckle has long tails, and hundreds of lines come every second
MIN_HEIGHT = 30.0  # sensor units; averaged lines have so little noise that sigma alone would find ripples


def surface_distances(alines: ArrayLike, range_m: float = RANGE_M) -> Array:
    """Distance of the nearest surface for each A-line.

    Args:
        alines: (n, bins), sensor units.
        range_m: depth of the last bin [m].

    Returns:
        (n,) m from the tip, NaN where no peak stands out of the speckle: nothing there, or no usable line.
    """
    lines = np.asarray(alines, dtype=np.float64)
    if lines.ndim != 2 or lines.shape[1] < 2 * SMOOTHING_BINS:
        raise ValueError(f"expected A-lines of shape (n, bins >= {2 * SMOOTHING_BINS}), got {lines.shape}")
    smooth, count = _smooth(lines)
    middle = np.median(smooth, axis=1, keepdims=True)
    sigma = 1.4826 * np.median(np.abs(smooth - middle), axis=1, keepdims=True)
    # Fewer bins are averaged at the ends: the noise is larger there, and a false peak at bin 0 would mean contact.
    height = np.maximum(THRESHOLD_SIGMA * sigma * np.sqrt(SMOOTHING_BINS / count), MIN_HEIGHT)
    above = smooth > middle + height  # False for NaN
    result = np.full(len(lines), np.nan)
    for row in np.flatnonzero(above.any(axis=1)):
        start = int(np.argmax(above[row]))  # the nearest peak, not the highest one
        below = np.flatnonzero(~above[row, start:])
        end = start + int(below[0]) if len(below) else lines.shape[1]
        result[row] = (start + int(np.argmax(smooth[row, start:end]))) * range_m / (lines.shape[1] - 1)
    return result


def surface_distance(aline: ArrayLike, range_m: float = RANGE_M) -> float:
    """Distance [m] of the nearest surface on one A-line (bins,), or on the mean of several; NaN if there is no peak."""
    return float(surface_distances(np.asarray(aline)[None], range_m)[0])


def _smooth(lines: Array) -> tuple[Array, NDArray[np.int64]]:
    """Running mean over SMOOTHING_BINS, and how many bins each mean has: fewer at the ends."""
    bins = lines.shape[1]
    half = SMOOTHING_BINS // 2
    sums = np.zeros((len(lines), bins + 1))
    np.cumsum(lines, axis=1, out=sums[:, 1:])
    position = np.arange(bins)
    first, last = np.maximum(position - half, 0), np.minimum(position + half + 1, bins)
    count = last - first
    return (sums[:, last] - sums[:, first]) / count, count
