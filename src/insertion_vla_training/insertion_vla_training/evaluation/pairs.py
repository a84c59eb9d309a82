"""Two policies on the same seeds: what differs, and whether chance explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class McNemar:
    """Episodes in which only one of two policies succeeded, and the chance of a split at least as uneven."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """The exact test, two-sided, on outcomes of the same seeds in the same order.

    Raises:
        ValueError: the two are not of the same episodes.
    """
    _same_length(first, second)
    one = sum(a and not b for a, b in zip(first, second, strict=True))
    two = sum(b and not a for a, b in zip(first, second, strict=True))
    n = one + two
    tail = sum(math.comb(n, k) for k in range(min(one, two) + 1)) / 2**n
    return McNemar(one, two, min(1.0, 2.0 * tail))


def bootstrap(first: Sequence[float], second: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean of first - second over pairs, and its 95 % percentile interval (low, high).

    Raises:
        ValueError: the two are not of the same episodes.
    """
    _same_length(first, second)
    differences = np.asarray(first, float) - np.asarray(second, float)
    picks = np.random.default_rng(seed).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.quantile(differences[picks].mean(axis=1), [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)


def _same_length(first: Sequence, second: Sequence) -> None:
    if len(first) != len(second) or not len(first):
        raise ValueError(f"expected results of the same seeds, got {len(first)} and {len(second)} of them")
