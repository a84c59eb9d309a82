"""What a path on the command line is: a bag, the folder of an evaluation, or the log of trials; each measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from insertion_vla_training.analysis.bag import read_bag
from insertion_vla_training.analysis.measure import measure
from insertion_vla_training.analysis.metrics import Measured
from insertion_vla_training.analysis.targets import Detect
from insertion_vla_training.bags.find import find_bags
from insertion_vla_training.evaluation.live import TRIALS
from insertion_vla_training.evaluation.results import EPISODES, FORMAT, read_results

# Entries of a trial's line, and the metric and factor that they are measured by.
TRIAL_ENTRIES = {
    "action_rate_hz": ("chunk_rate_hz", 1.0),
    "action_interval_p99_s": ("chunk_interval_p99_ms", 1e3),
    "features_age_p99_s": ("features_age_p99_ms", 1e3),
    "peak_force_n": ("peak_force_n", 1.0),
}


def find_sources(paths: Sequence[Path]) -> list[Path]:
    """Every log among the paths, folders of bags opened up.

    Raises:
        ValueError: a path is not there or holds nothing of the kind.
    """
    found = []
    for path in paths:
        found += [path] if path.suffix == ".jsonl" or is_evaluation(path) else find_bags([path])
    return list(dict.fromkeys(found))


def measure_source(path: Path, detect: Detect) -> Iterator[Measured]:
    """What the log at a path tells of; an evaluation with live trials beside it gives two.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    if path.suffix == ".jsonl":
        yield _trials(path)
    elif is_evaluation(path):
        yield _evaluation(path)
        if (path / TRIALS).is_file():
            yield _trials(path / TRIALS)
    else:
        yield measure(read_bag(path), detect)


def is_evaluation(path: Path) -> bool:
    """Whether `evaluate` wrote this folder; collections have a file of that name too."""
    file = path / EPISODES
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return FORMAT.encode() in stream.readline(1000)


def _evaluation(folder: Path) -> Measured:
    settings, results = read_results(folder)
    if not results:
        raise ValueError(f"expected episodes in {folder}, there are none: run evaluate --out {folder}")
    values = {
        "action_time_ms": np.array([ms for result in results for ms in result.inference_ms]),
        "vlm_time_ms": np.array([ms for result in results for ms in result.features_ms]),
        "rejected_chunks": np.array([float(result.rejected) for result in results]),
        "peak_force_n": np.array([result.peak_force_n for result in results]),
    }
    facts = {
        "policy": str(settings["policy"]),
        "episodes": str(len(results)),
        "note": "in lock-step, where rates and delays are simulated: they are not measured",
    }
    return Measured(folder.name, "evaluation", values, facts=facts)


def _trials(path: Path) -> Measured:
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        rows = [json.loads(line) for line in lines if line.endswith("}")]
        values = {
            metric: np.array([factor * float(row[entry]) for row in rows if row[entry] is not None])
            for entry, (metric, factor) in TRIAL_ENTRIES.items()
        }
        policies = ", ".join(sorted({str(row["policy"]) for row in rows}))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected the lines that trials writes in {path}, it cannot be read: name a bag, the folder of an "
            "evaluation, or the output of ros2 run insertion_vla trials"
        ) from error
    if not rows:
        raise ValueError(f"expected trials in {path}, there are none: run ros2 run insertion_vla trials")
    return Measured(path.name, "trials", values, facts={"policy": policies, "trials": str(len(rows))})
