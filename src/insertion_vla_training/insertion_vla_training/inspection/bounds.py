"""What is usual in a data set: robust bounds, so that a few bad episodes do not move them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from insertion_vla_core.contract import Contract
from insertion_vla_core.limits import Limits
from numpy.typing import NDArray

from insertion_vla_training.inspection.measured import Measured
from insertion_vla_training.stores.episode_index import Episode

MAD_TO_SIGMA = 1.4826
SIGMAS = 6.0
BLUR_FACTOR = 3.0  # less sharp than the median by this at least; a slight loss of focus takes more than that
DURATION_FACTOR = 3.0
EPISODES_MIN = 5  # with fewer nobody knows what is usual
JUMP_FACTOR = 2.0
ALINES_EXTRA = 0.05

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """Bounds of one data set.

    Attributes:
        sharpness: the least by view.
        jumps: the largest by name (inspect_actions.JUMPS).
        durations: shortest and longest by outcome [s]; absent where there are too few episodes.
        missing_alines: largest share; None where the sensor sends none.
        features: whether episodes of this data set have features.
    """

    sharpness: dict[str, float]
    jumps: dict[str, float]
    durations: dict[str, tuple[float, float]]
    missing_alines: float | None
    features: bool


def bounds_of(contract: Contract, limits: Limits, episodes: Sequence[Episode], found: Sequence[Measured]) -> Bounds:
    """Bounds from all episodes and what was measured in them."""
    # Twice a free step is where the gate begins to reject.
    most_m, most_rad = (2.0 * speed * contract.action.dt_s for speed in (limits.free_speed, limits.free_angular_speed))
    least = {"step": most_m, "step_turn": most_rad, "jump": most_m, "jump_turn": most_rad}
    durations = {}
    for outcome in {episode.outcome for episode in episodes}:
        seconds = [episode.duration_s for episode in episodes if episode.outcome == outcome]
        if len(seconds) >= EPISODES_MIN:
            durations[outcome] = around(np.array(seconds), DURATION_FACTOR)
    missing = [measured.missing_alines for measured in found if measured.missing_alines is not None]
    usual = float(np.median(missing)) if missing else 1.0
    with_features = [measured for measured in found if measured.features]
    return Bounds(
        sharpness={
            image.name: around(numbers(m.views[image.name].sharpness for m in found), BLUR_FACTOR)[0]
            for image in contract.images
        },
        jumps={name: largest([m.jumps[name] for m in found], floor) for name, floor in least.items()},
        durations=durations,
        missing_alines=None if usual > 0.5 else usual + ALINES_EXTRA,
        features=2 * len(with_features) > len(found),
    )


def numbers(parts: Iterable[Sequence[float | None]]) -> Array:
    """All numbers of several lists; None is left out."""
    return np.array([value for part in parts for value in part if value is not None], np.float64)


def around(values: Array, factor: float) -> tuple[float, float]:
    """Bounds around the median on a logarithmic scale: six sigmas, and `factor` at least; (0, inf) for no values."""
    positive = values[values > 0.0]
    if len(positive) == 0:
        return 0.0, math.inf
    logs = np.log(positive)
    centre = float(np.median(logs))
    width = max(math.log(factor), SIGMAS * MAD_TO_SIGMA * float(np.median(np.abs(logs - centre))))
    return math.exp(centre - width), math.exp(centre + width)


def largest(episodes: Sequence[Sequence[float | None]], floor: float) -> float:
    """What the largest number of an episode may be: `floor`, or what it is in most of the episodes."""
    worst = [max(values) for values in (numbers([episode]).tolist() for episode in episodes) if values]
    if len(worst) < EPISODES_MIN or max(worst) <= 0.0:
        return floor
    return max(floor, around(np.array(worst), JUMP_FACTOR)[1])
