"""What `profile` leaves behind: latency.json, latency.csv, latency.png, and the table in the terminal."""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from insertion_vla_training.profiling.budget import Budget
from insertion_vla_training.profiling.measure import Row, Unavailable, recommended
from insertion_vla_training.profiling.plot import draw_latency
from insertion_vla_training.stores.episode_index import write_json

JSON, TABLE, PLOT = "latency.json", "latency.csv", "latency.png"
COLUMNS = ("p50", "p95", "p99", "mean", "max")


@dataclass(frozen=True)
class Profile:
    """Everything that was measured.

    Attributes:
        checkpoint: its folder.
        policy: expert, size and hash.
        expert: regression or diffusion.
        threads: of torch.
        budget: of a chunk.
        rows: one per back end and number of steps.
        unavailable: back ends that could not be had.
    """

    checkpoint: str
    policy: str
    expert: str
    threads: int
    budget: Budget
    rows: tuple[Row, ...]
    unavailable: tuple[Unavailable, ...]

    @property
    def best(self) -> Row | None:
        """The recommended row, None where none is within the budget."""
        return recommended(self.rows, self.budget.ms)


def write_profile(profile: Profile, out: Path) -> None:
    """Write the three files into a folder, which is made if it is not there."""
    out.mkdir(parents=True, exist_ok=True)
    best = profile.best
    write_json(
        out / JSON,
        {
            "checkpoint": profile.checkpoint,
            "policy": profile.policy,
            "expert": profile.expert,
            "machine": machine(profile.threads),
            "budget_ms": round(profile.budget.ms, 3),
            "budget": profile.budget.words,
            "rows": [row.as_dict() | {"within": row.p99 <= profile.budget.ms} for row in profile.rows],
            "unavailable": [asdict(entry) for entry in profile.unavailable],
            "recommended": best.as_dict() if best else None,
        },
    )
    (out / TABLE).write_text(table(profile.rows, profile.budget.ms), encoding="utf-8")
    if profile.rows:
        draw_latency(profile.rows, profile.budget.ms, profile.policy, out / PLOT)


def machine(threads: int) -> dict[str, Any]:
    """What the figures hold for."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "threads": threads,
        "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 2),
    }


def table(rows: Sequence[Row], budget_ms: float) -> str:
    """As CSV; times in milliseconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["backend", "device", "steps", "calls", *(f"{name}_ms" for name in COLUMNS), "load_s", "within_budget"]
    )
    for row in rows:
        times = [getattr(row, name) for name in COLUMNS]
        writer.writerow(
            [row.backend, row.device, row.steps, row.calls, *times, row.load_s, "yes" if row.p99 <= budget_ms else "no"]
        )
    return text.getvalue()


def lines(profile: Profile) -> list[str]:
    """What the verb prints."""
    said = [f"{profile.policy}: a chunk [ms], {profile.rows[0].calls if profile.rows else 0} calls each"]
    said.append(f"{'back end':<12}{'device':<7}{'steps':>6}" + "".join(f"{name:>9}" for name in COLUMNS) + "  budget")
    for row in profile.rows:
        times = "".join(f"{getattr(row, name):>9.2f}" for name in COLUMNS)
        verdict = "within" if row.p99 <= profile.budget.ms else "beyond"
        said.append(f"{row.backend:<12}{row.device:<7}{steps(profile, row):>6}{times}  {verdict}")
    said += [f"{entry.backend} on {entry.device} is not available: {entry.reason}" for entry in profile.unavailable]
    said.append(f"budget for p99: {profile.budget.words}")
    said.append(advice(profile))
    return said


def steps(profile: Profile, row: Row) -> str:
    """How the steps of a row are written."""
    return str(row.steps) if profile.expert == "diffusion" else "–"


def advice(profile: Profile) -> str:
    """The recommendation in a sentence."""
    best = profile.best
    if best is None:
        least = min(profile.rows, key=lambda row: row.p99, default=None)
        nearest = f", the nearest is {least.backend} with p99 {least.p99:.1f} ms" if least else ""
        return (
            f"nothing is within the budget{nearest}: try fewer --steps, other --backends or --threads, a machine with "
            "less load, or train a smaller size"
        )
    what = f"run.steps: {best.steps}, " if profile.expert == "diffusion" else ""
    device = f", run.device: {best.device}" if best.device != "cpu" else ""
    return f"recommended: {what}run.backend: {best.backend}{device} (p99 {best.p99:.1f} ms)"
