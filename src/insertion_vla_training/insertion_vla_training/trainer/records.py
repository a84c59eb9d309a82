"""metrics.jsonl, a line per record; metrics.csv of the same, and the trackers."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from insertion_vla_training.trainer.trackers import Tracker

JSONL, CSV = "metrics.jsonl", "metrics.csv"
Metrics = dict[str, float]


class Records:
    """The metrics of a run; those that a resumed run does again are dropped."""

    def __init__(self, folder: Path, step: int, trackers: Sequence[Tracker] = ()) -> None:
        """`step`: the first step that is done now."""
        self._jsonl, self._csv = folder / JSONL, folder / CSV
        self._trackers = trackers
        self.rows: list[dict[str, Any]] = [row for row in read_metrics(self._jsonl) if row["step"] <= step]
        self._jsonl.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
        self._file = self._jsonl.open("a", encoding="utf-8")

    def add(self, step: int, values: Metrics) -> None:
        """A record after `step` steps."""
        row = {"step": step, **{name: float(f"{value:.6g}") for name, value in values.items()}}
        self.rows.append(row)
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for tracker in self._trackers:
            tracker.log(step, values)

    def write_csv(self) -> None:
        """The table of all records so far; empty where a record has no such value."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with self._csv.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(self.rows)

    def close(self) -> None:
        """Ends the trackers too."""
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


def training_hours(rows: Sequence[dict[str, Any]]) -> float:
    """How long the steps of a run took, over all its resumptions, by the rates of its records."""
    seconds, seen = 0.0, 0.0
    for row in rows:
        if rate := row.get("train/samples_per_s"):
            samples = row["train/sensor_samples"] + row["train/nonsensor_samples"]
            seconds, seen = seconds + (samples - seen) / rate, samples
    return seconds / 3600.0


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a run; a line that a killed run left half is none."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
