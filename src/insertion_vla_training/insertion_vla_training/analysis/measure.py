"""Every metric of a bag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from insertion_vla_training.analysis.bag import NS, BagLog, Chunk, FeatureSet
from insertion_vla_training.analysis.metrics import Event, Measured, Values
from insertion_vla_training.analysis.stuck import Repeats, commands, repeats
from insertion_vla_training.analysis.targets import Detect

MS = 1e-6  # milliseconds per nanosecond


def measure(log: BagLog, detect: Detect) -> Measured:
    """Measure a bag."""
    goals = [list(chunks) for _, chunks in groupby(log.chunks, key=lambda chunk: chunk.goal)]
    values, curves, events = _chunks(log, goals, detect)
    for more in (_features(log, detect), _arm_and_force(log)):
        values |= more[0]
        curves |= more[1]
        events += more[2]
    facts = {
        "policy": ", ".join(sorted(log.policies)),
        "chunks": f"{len(log.chunks)} of {len({chunk.goal for chunk in log.chunks})} goals",
        "features": str(sum(one.tokens is not None for one in log.features)),
    }
    return Measured(log.name, "bag", values, tuple(sorted(events, key=lambda event: event.at_s)), curves, facts)


Found = tuple[dict[str, Values], dict[str, tuple[Values, Values]], list[Event]]


def _chunks(log: BagLog, goals: Sequence[Sequence[Chunk]], detect: Detect) -> Found:
    stamps = np.array([chunk.stamp_ns for chunk in log.chunks])
    intervals = [np.diff([chunk.stamp_ns for chunk in goal]) * MS for goal in goals]
    seen = np.array([chunk.features_ns for chunk in log.chunks])
    with_features = seen > 0
    ages = ((stamps - seen) * MS)[with_features]
    values: dict[str, Values] = {
        "action_time_ms": np.array([1e3 * chunk.inference_s for chunk in log.chunks]),
        "chunk_interval_ms": _joined(intervals),
        "chunk_rate_hz": np.array([1e3 * len(of) / of.sum() for of in intervals if of.sum() > 0.0]),
        "chunk_delay_ms": np.array([(chunk.receive_ns - chunk.stamp_ns) * MS for chunk in log.chunks]),
        "features_age_ms": ages,
        "reuse": _joined(
            [
                np.array([len(list(same)) for stamp, same in groupby(chunk.features_ns for chunk in goal) if stamp])
                for goal in goals
            ]
        ),
    }
    events = [
        event
        for goal in goals
        for event in _gaps([chunk.stamp_ns for chunk in goal], detect.chunk_gap_ms, "chunk_gaps", "no chunk", log)
    ]
    values["chunk_gaps"] = np.array([float(len(events))])
    stuck = [
        (found, goal)
        for goal in goals
        for found in repeats(
            [commands(chunk.data) for chunk in goal],
            np.array([chunk.anchor for chunk in goal]),
            [detect.same_m] * len(goal),
            detect.same_after,
            1e-3 * detect.moved_mm,
        )
    ]
    values["stuck_chunks"] = np.array([float(max((found.count for found, _ in stuck), default=0))])
    events += [_stuck("stuck_chunks", "chunks", found, goal, log) for found, goal in stuck]
    times = (stamps - log.start_ns) / NS
    curves = {
        "action_time_ms": (times, values["action_time_ms"]),
        "chunk_interval_ms": (
            (np.array([chunk.stamp_ns for goal in goals for chunk in goal[1:]]) - log.start_ns) / NS,
            values["chunk_interval_ms"],
        ),
        "features_age_ms": (times[with_features], ages),
    }
    return values, curves, events


def _features(log: BagLog, detect: Detect) -> Found:
    if not log.features:
        return {}, {}, []
    # A withdrawal or another instruction ends a run of features: what follows is not late.
    runs = [
        list(same)
        for (_, there), same in groupby(log.features, key=lambda one: (one.instruction, one.tokens is not None))
        if there
    ]
    every = [one for run in runs for one in run]
    intervals = [np.diff([one.receive_ns for one in run]) * MS for run in runs]
    values = {
        "vlm_time_ms": np.array([1e3 * one.inference_s for one in every]),
        "features_interval_ms": _joined(intervals),
        "features_rate_hz": np.array([1e3 * len(of) / of.sum() for of in intervals if of.sum() > 0.0]),
        "features_delay_ms": np.array([(one.receive_ns - one.stamp_ns) * MS for one in every]),
    }
    events = [
        event
        for run in runs
        for event in _gaps([one.receive_ns for one in run], detect.features_gap_ms, "features_gaps", "no features", log)
    ]
    values["features_gaps"] = np.array([float(len(events))])
    stuck = [
        (found, run)
        for run in runs
        for found in repeats(
            [one.tokens for one in run],
            _places(log.chunks, [one.stamp_ns for one in run]),
            [detect.same_features * float(np.abs(one.tokens).max()) for one in run if one.tokens is not None],
            detect.same_after,
            1e-3 * detect.moved_mm,
        )
    ]
    values["stuck_features"] = np.array([float(max((found.count for found, _ in stuck), default=0))])
    events += [_stuck("stuck_features", "feature sets", found, run, log) for found, run in stuck]
    times = (np.array([one.receive_ns for one in every]) - log.start_ns) / NS
    return values, {"vlm_time_ms": (times, values["vlm_time_ms"])}, events


def _arm_and_force(log: BagLog) -> Found:
    values: dict[str, Values] = {}
    curves: dict[str, tuple[Values, Values]] = {}
    if log.arm:
        first, last = log.arm[0], log.arm[-1]
        values["rejected_chunks"] = np.array([float(last[0] - first[0])])
        values["missed_deadlines"] = np.array([float(last[1] - first[1])])
    if log.force_n:
        stamps, force = np.concatenate(log.force_stamps), np.concatenate(log.force_n).astype(np.float64)
        felt = np.isfinite(force)  # not a number until tared
        values["force_n"], values["force_interval_ms"] = force[felt], np.diff(stamps) * MS
        curves["force_n"] = ((stamps[felt] - log.start_ns) / NS, force[felt])
    return values, curves, []


def _places(chunks: Sequence[Chunk], stamps: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Where the tool was at each stamp (n, 3), between the anchors of chunks; NaN outside of them."""
    known = np.array([chunk.stamp_ns for chunk in chunks])
    order = np.argsort(known)
    anchors = np.array([chunk.anchor for chunk in chunks])[order]
    columns = [np.interp(stamps, known[order], anchors[:, k], np.nan, np.nan) for k in range(3)]
    return np.stack(columns, axis=1)


def _gaps(stamps: Sequence[int], longest_ms: float, metric: str, what: str, log: BagLog) -> list[Event]:
    found = []
    for before, after in zip(stamps, stamps[1:], strict=False):
        if (after - before) * MS > longest_ms:
            at_s, length_s = (before - log.start_ns) / NS, (after - before) / NS
            found.append(Event(at_s, length_s, metric, f"{what} for {length_s:.2f} s, from {at_s:.1f} s on"))
    return found


def _stuck(metric: str, what: str, found: Repeats, rows: Sequence[Chunk] | Sequence[FeatureSet], log: BagLog) -> Event:
    first, last = rows[found.first].stamp_ns, rows[found.last].stamp_ns
    at_s, length_s = (first - log.start_ns) / NS, (last - first) / NS
    return Event(
        at_s, length_s, metric,
        f"{found.count} {what} in a row are the same while the tool moved {1e3 * found.moved_m:.1f} mm, from "
        f"{at_s:.1f} s on",
    )  # fmt: skip


def _joined(parts: Iterable[Values]) -> Values:
    return np.concatenate([np.zeros(0), *parts])
