"""The learning rate over a run: up, hold, half a cosine down; a re-warmed run begins another such stretch.

Everything follows from the step and the stretches, so there is no scheduler to save.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Stretch = tuple[int, int]  # first step, last step + 1


def rate_share(step: int, stretches: Sequence[Stretch], warmup: float, hold: float) -> float:
    """Share of the way from the lowest to the highest rate, 0..1, at a step.

    Args:
        step: counted from 0.
        stretches: consecutive ones; a step belongs to the last that has begun.
        warmup: share of a stretch with a rising rate.
        hold: share of it at the highest rate.
    """
    start, end = [stretch for stretch in stretches if stretch[0] <= step][-1]
    length, at = end - start, step - start
    warm, held = max(1, round(warmup * length)), round(hold * length)
    if at < warm:
        return (at + 1) / warm
    if at < warm + held:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (at - warm - held) / max(1, length - warm - held))))


def set_rates(groups: Sequence[dict], share: float, lowest: float) -> None:
    """Set each group's `lr` between the lowest rate and its own `peak`."""
    for group in groups:
        group["lr"] = lowest + share * (group["peak"] - lowest)
