"""How long a checkpoint takes for a chunk, by back end and number of sampling steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from insertion_vla_core.observation import Observation
from insertion_vla_policy.checkpoint import Checkpoint
from insertion_vla_policy.policy import Policy
from insertion_vla_policy.run_options import RunOptions

from insertion_vla_training.profiling.observations import Scene

WARM_UPS = 3
LOSSY = ("onnx_int8",)  # rounds weights: at as many steps the second choice


@dataclass(frozen=True)
class Row:
    """Times of one back end at one number of steps [ms]; `load_s` is what configuring the node would take."""

    backend: str
    device: str
    steps: int
    calls: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float
    load_s: float

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Unavailable:
    """A back end that cannot be had here, and why."""

    backend: str
    device: str
    reason: str


def measure(
    checkpoint: Checkpoint,
    calibration: str | None,
    options: RunOptions,
    steps: Sequence[int],
    observations: Sequence[Observation],
    repeats: int,
    tick: Callable[[], None],
) -> Iterator[Row | Unavailable]:
    """One row for each number of steps, or why there is none: `Unavailable` ends the back end.

    Args:
        checkpoint: as it was read.
        calibration: file of the cameras, for a policy with a target.
        options: back end, device and threads.
        steps: of sampling.
        observations: taken in turn.
        repeats: timed calls per row.
        tick: called after every timed call.
    """
    for count in steps:
        started_s = time.perf_counter()
        try:
            policy = Policy(checkpoint, options.model_copy(update={"steps": count}), calibration)
        # A missing library, compiler or GPU shows in as many ways; each of them is the reason that is reported.
        except (ValueError, ImportError, RuntimeError) as error:
            yield Unavailable(options.backend, options.device, _first_line(error))
            return
        loaded_s = time.perf_counter() - started_s
        policy.reset("profile", "insert the needle into the red trocar")
        for observation in observations[:WARM_UPS]:
            policy(observation)
        yield _row(options, count, _timed(policy, observations, repeats, tick), loaded_s)


def _timed(
    policy: Policy, observations: Sequence[Observation], repeats: int, tick: Callable[[], None]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Wall time of each call [ms]; results are numbers on the CPU, so nothing is still under way."""
    took = np.empty(repeats)
    for call in range(repeats):
        observation = observations[call % len(observations)]
        started_s = time.perf_counter()
        policy(observation)
        took[call] = 1e3 * (time.perf_counter() - started_s)
        tick()
    return took


def _row(options: RunOptions, steps: int, took: np.ndarray[Any, np.dtype[np.float64]], load_s: float) -> Row:
    p50, p95, p99 = (round(float(value), 4) for value in np.quantile(took, [0.5, 0.95, 0.99]))
    mean, most = round(float(took.mean()), 4), round(float(took.max()), 4)
    return Row(options.backend, options.device, steps, len(took), mean, p50, p95, p99, most, round(load_s, 3))


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__


def made_up(scene: Scene, count: int) -> tuple[list[Observation], float]:
    """So many observations, 0.1 s apart, and the p99 of building one [ms]."""
    observations, took = [], []
    for _ in range(count):
        scene.advance()
        started_s = time.perf_counter()
        observations.append(scene.observe())
        took.append(1e3 * (time.perf_counter() - started_s))
    return observations, float(np.quantile(took, 0.99))


def recommended(rows: Sequence[Row], budget_ms: float) -> Row | None:
    """The most steps within the budget; of as many steps what does not round weights, then what is quickest."""
    within = [row for row in rows if row.p99 <= budget_ms]
    return max(within, key=lambda row: (row.steps, row.backend not in LOSSY, -row.p99), default=None)
