"""The nearest surface in an OCT A-line: a depth profile along the needle, speckle and a peak where light comes back."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 1025
RANGE_M = 0.005  # bin 0 at the tip, the last bin this far ahead
PEAK_SIGMA_BINS = 6.0  # width of a surface in the profile
MIN_SIGNAL_TO_NOISE = 8.0  # of the matched filter; speckle alone stays below 5

_REACH = int(3 * PEAK_SIGMA_BINS)
_KERNEL = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / PEAK_SIGMA_BINS) ** 2)
_KERNEL /= _KERNEL.sum()


def surface_distance(aline: ArrayLike, range_m: float = RANGE_M) -> float:
    """Distance from the tip to the nearest surface ahead, by a matched filter against the line's own speckle.

    Args:
        aline: (bins,) depth profile in sensor units; the mean of a few consecutive lines has less speckle.
        range_m: Depth of the last bin.

    Returns:
        Distance [m], NaN when no surface stands out or the line holds a number that is not finite.
    """
    line = np.asarray(aline, dtype=np.float64)
    if line.ndim != 1 or len(line) <= 2 * _REACH:
        raise ValueError(f"expected one A-line of more than {2 * _REACH} bins, got an array of shape {line.shape}")
    if not np.isfinite(line).all():
        return float("nan")
    filtered = _matched(line)
    level = _median(filtered)
    noise = 1.4826 * _median(np.abs(filtered - level))
    above = filtered > level + MIN_SIGNAL_TO_NOISE * noise
    if noise == 0.0 or not above.any():
        return float("nan")
    first = int(np.argmax(above))
    peak = first + int(np.argmax(filtered[first : first + 2 * _REACH]))
    return peak / (len(line) - 1) * range_m


def _matched(line: NDArray[np.float64]) -> NDArray[np.float64]:
    # Mirrored at the ends: a surface at the very tip shows only half of its peak.
    mirrored = np.concatenate([line[_REACH:0:-1], line, line[-2 : -_REACH - 2 : -1]])
    return np.convolve(mirrored, _KERNEL, mode="valid")


def _median(values: NDArray[np.float64]) -> np.float64:
    # np.median gives the same in three times the time, and this runs for every block of samples.
    half = len(values) // 2
    if len(values) % 2:
        return np.float64(np.partition(values, half)[half])
    return np.float64(np.mean(np.partition(values, (half - 1, half))[half - 1 : half + 1]))
