"""Causal resampling of a stream onto an even grid: nothing is taken from the future and nothing is made up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insertion_vla_core.ring import Stamps


def grid(t_ns: int, window_s: float, rate_hz: float, lag_s: float = 0.0) -> Stamps:
    """The stamps (n,) [ns] of a window at `rate_hz` that ends at t - lag and covers (t - lag - window, t - lag]."""
    count = round(window_s * rate_hz)
    if count < 1:
        raise ValueError(f"expected a window of at least one sample, got {window_s} s at {rate_hz} Hz")
    back = np.round(np.arange(count - 1, -1, -1) * (1e9 / rate_hz)).astype(np.int64)
    result: Stamps = (t_ns - round(lag_s * 1e9)) - back
    return result


def resample(
    stamps: Stamps, rows: NDArray[Any], grid_ns: Stamps, max_gap_s: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The newest row at or before each grid point.

    Args:
        stamps: (m,) rising, ns.
        rows: (m, C) floats.
        grid_ns: (n,) rising, ns.
        max_gap_s: a row stands for grid points at most this much later.

    Returns:
        Values (n, C) and mask (n,). Where the mask is False there is no datum and the values are NaN, so that whoever
        forgets the mask notices.
    """
    index = np.searchsorted(stamps, grid_ns, side="right") - 1
    mask = index >= 0
    if len(stamps):
        mask &= grid_ns - stamps[index] <= round(max_gap_s * 1e9)
    values = np.full((len(grid_ns), rows.shape[1]), np.nan, rows.dtype)
    values[mask] = rows[index[mask]]
    mask[mask] = np.isfinite(values[mask]).all(axis=1)
    values[~mask] = np.nan
    return values, mask
