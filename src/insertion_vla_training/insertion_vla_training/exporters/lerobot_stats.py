"""Statistics as LeRobot data sets carry them: min, max, mean, std, count and quantiles, per episode and of all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.exporters.pictures import decoded

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
IMAGES_PER_EPISODE = 8
LEVELS = 256
Stats = dict[str, Any]


def number_stats(rows: NDArray[Any]) -> Stats:
    """Of numbers (T, C), per column; numbers that are not finite are missing and do not count."""
    columns = [column[np.isfinite(column)].astype(np.float64) for column in np.reshape(rows, (len(rows), -1)).T]
    counts = [len(column) for column in columns]
    filled = [column if len(column) else np.array([np.nan]) for column in columns]
    result: Stats = {
        "min": [float(column.min()) for column in filled],
        "max": [float(column.max()) for column in filled],
        "mean": [float(column.mean()) for column in filled],
        "std": [float(column.std()) for column in filled],
        "count": [min(counts)],
    }
    for name, share in QUANTILES.items():
        result[name] = [float(np.quantile(column, share)) for column in filled]
    return result


class ImageStats:
    """Of images, per colour, in 0..1: counted level by level, so that sums of episodes are exact."""

    def __init__(self) -> None:
        self._levels = np.zeros((3, LEVELS), np.int64)
        self._images = 0

    def add(self, jpeg: bytes) -> None:
        """One image; raises ValueError if it cannot be decoded."""
        pixels = decoded(jpeg)
        for counts, colour in zip(self._levels, np.moveaxis(pixels, 2, 0), strict=True):
            counts += np.bincount(colour.ravel(), minlength=LEVELS)
        self._images += 1

    def merge(self, other: ImageStats) -> None:
        """Take in those of another episode."""
        self._levels += other._levels
        self._images += other._images

    def stats(self) -> Stats:
        """Numbers of shape (3, 1, 1), and how many images were looked at."""
        values = np.arange(LEVELS) / (LEVELS - 1)
        found: dict[str, list[float]] = {name: [] for name in ("min", "max", "mean", "std", *QUANTILES)}
        for counts in self._levels:
            present = values[counts > 0]
            mean = float(np.average(values, weights=counts))
            found["min"].append(float(present[0]))
            found["max"].append(float(present[-1]))
            found["mean"].append(mean)
            found["std"].append(float(np.sqrt(np.average((values - mean) ** 2, weights=counts))))
            total = np.cumsum(counts)
            for name, share in QUANTILES.items():
                found[name].append(float(values[np.searchsorted(total, share * total[-1])]))
        shaped: Stats = {name: [[[number]] for number in numbers] for name, numbers in found.items()}
        return {**shaped, "count": [self._images]}


def sample(count: int) -> list[int]:
    """Which of an episode's images are looked at."""
    return sorted(set(np.linspace(0, count - 1, min(count, IMAGES_PER_EPISODE)).round().astype(int).tolist()))
