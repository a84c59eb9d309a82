"""Outputs that stay the same although what is looked at changes: a policy or a camera that is stuck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

POSE_CHANNELS = 6


@dataclass(frozen=True)
class Repeats:
    """Equal outputs in a row: the first and the last of them, and how far the tool moved meanwhile [m]."""

    first: int
    last: int
    moved_m: float

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first + 1


def repeats(
    rows: Sequence[NDArray[Any] | None], places: NDArray[np.float64], tolerances: Sequence[float], least: int,
    moved_m: float,
) -> list[Repeats]:  # fmt: skip
    """Where outputs repeat themselves while the tool moves.

    Args:
        rows: the outputs in order; None is equal to nothing.
        places: (n, 3) of the tool at each of them [m]; NaN where not known.
        tolerances: of each row, against the one before it.
        least: in a row.
        moved_m: farthest way from the first of them.
    """
    found, first = [], 0
    for index in range(1, len(rows) + 1):
        if index < len(rows) and _same(rows[index - 1], rows[index], tolerances[index]):
            continue
        if index - first >= least:
            ways = np.linalg.norm(places[first:index] - places[first], axis=1)
            way = float(np.nanmax(ways)) if np.isfinite(ways).any() else 0.0
            if way > moved_m:
                found.append(Repeats(first, index - 1, way))
        first = index
    return found


def commands(data: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """A chunk's rows to compare; None for one that holds: to say so again is right while the arm comes to rest."""
    return data if np.any(data[:, :POSE_CHANNELS]) else None


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None, tolerance: float) -> bool:
    return a is not None and b is not None and a.shape == b.shape and bool(np.abs(a - b).max() <= tolerance)
