"""Everything that `analyze` can measure, each named once, and the statistics of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
STATISTICS = ("mean", "std", "min", "max", "median", "p95", "p99")


@dataclass(frozen=True)
class Metric:
    """What a figure is called and what to do where it is not good.

    Attributes:
        words: as people read it.
        unit: of its values.
        remedy: the end of a sentence.
    """

    words: str
    unit: str
    remedy: str


_LOAD = "look at the load of the machine and at /diagnostics"
METRICS = {
    "action_time_ms": Metric("time of a chunk", "ms", "choose the steps and the back end that profile recommends"),
    "vlm_time_ms": Metric("time of the features", "ms", "use fewer views, a smaller backbone or a faster machine"),
    "chunk_interval_ms": Metric("from chunk to chunk", "ms", _LOAD),
    "chunk_rate_hz": Metric("chunks per second of a goal", "Hz", _LOAD),
    "chunk_delay_ms": Metric("from observation to arrival of the chunk", "ms", _LOAD),
    "features_interval_ms": Metric("from features to features", "ms", _LOAD),
    "features_rate_hz": Metric("features per second", "Hz", "look at the rate of the cameras and at rate_hz of vlm"),
    "features_delay_ms": Metric("from the oldest image to arrival of the features", "ms", _LOAD),
    "features_age_ms": Metric("age of the features of a chunk", "ms", "look at what holds up the vlm node"),
    "reuse": Metric("chunks from the same features", "", "look at what holds up the vlm node"),
    "chunk_gaps": Metric("gaps between chunks", "", "look for the reason in the status of action_expert"),
    "features_gaps": Metric("gaps between features", "", "look for a camera that stopped, or a busy machine"),
    "stuck_chunks": Metric("chunks in a row that are the same", "", "see whether this policy answers to what it sees"),
    "stuck_features": Metric("feature sets in a row that are the same", "", "look for a camera that is stuck"),
    "rejected_chunks": Metric("chunks that the gate rejected", "", "look at last_rejection in arm/state"),
    "missed_deadlines": Metric("cycles of the arm that came late", "", _LOAD),
    "force_n": Metric("axial force", "N", "look at the moment in the recording before this policy goes on"),
    "force_interval_ms": Metric("from force sample to force sample", "ms", "look for lost packets"),
    "chunk_interval_p99_ms": Metric("p99 of a trial from chunk to chunk", "ms", _LOAD),
    "features_age_p99_ms": Metric("p99 of a trial of the features' age", "ms", "look at what holds up the vlm node"),
    "peak_force_n": Metric("peak force of an episode", "N", "look at the episode before this policy goes on"),
}


@dataclass(frozen=True)
class Event:
    """Something that happened at a moment.

    Attributes:
        at_s: since the beginning of the log.
        length_s: how long it lasted.
        metric: where it counts.
        sentence: what happened.
    """

    at_s: float
    length_s: float
    metric: str
    sentence: str


@dataclass(frozen=True, eq=False)
class Measured:
    """One log, measured.

    Attributes:
        name, kind: of the log: "bag", "evaluation", "trials".
        values: of each metric that the log tells of; an empty array is a metric of which nothing came.
        events: in the order of time.
        curves: of each metric that has a time: seconds since the beginning (n,) and values (n,).
        facts: what else is known, for the report.
    """

    name: str
    kind: str
    values: dict[str, Values]
    events: tuple[Event, ...] = ()
    curves: dict[str, tuple[Values, Values]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


def pooled(logs: Sequence[Measured]) -> dict[str, Values]:
    """The values of all logs together, in the order of METRICS; metrics without any value are left out."""
    found = {}
    for name in METRICS:
        parts = [log.values[name] for log in logs if name in log.values]
        values = np.concatenate(parts) if parts else np.zeros(0)
        if len(values := values[np.isfinite(values)]):
            found[name] = values
    return found


def statistics(values: Values) -> dict[str, Any]:
    """Count and STATISTICS of at least one number."""
    median, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99])
    figures = (values.mean(), values.std(), values.min(), values.max(), median, p95, p99)
    rounded = [float(f"{value:.6g}") for value in figures]
    return {"count": len(values), **dict(zip(STATISTICS, rounded, strict=True))}
