"""`evaluate --live`: the same seeds through the full ROS graph, beside what lock-step says of them.

This package knows no ROS: `ros2 run insertion_vla trials` plays, and its lines are read.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from insertion_vla_training.evaluation.episode import Result
from insertion_vla_training.evaluation.pairs import mcnemar
from insertion_vla_training.evaluation.settings import Settings
from insertion_vla_training.evaluation.summary import in_words, rate
from insertion_vla_training.stores.episode_index import write_json

TRIALS, SUMMARY = "live.jsonl", "live.json"


def play_live(settings: Settings, seeds: range, out: Path) -> dict[int, dict[str, Any]]:
    """Play seeds in real time, one after the other; those that are in OUT/live.jsonl are not played again.

    Returns:
        Of every seed what the line of `trials` says.

    Raises:
        ValueError: there is no ROS here, the settings have no live counterpart, or a seed could not be played.
    """
    plain = Settings(settings.policy, settings.config, settings.randomisation, settings.time_limit_s)
    if plain.identity() != settings.identity():
        raise ValueError(
            "expected --live without delays, hardships, other sampling steps and execution: the graph has its own"
        )
    if shutil.which("ros2") is None:
        raise ValueError("expected the command ros2 for --live, there is none: source setup.bash, or leave --live out")
    out.mkdir(parents=True, exist_ok=True)
    policy = settings.policy if "/" not in settings.policy else str(Path(settings.policy).absolute())
    words = {
        "seeds": len(seeds),
        "first_seed": seeds.start,
        "policy": policy,
        "randomisation": settings.randomisation,
        "timeout": f"{settings.time_limit_s:g}",
        "output": (out / TRIALS).absolute(),
    }
    command = ["ros2", "run", "insertion_vla", "trials", *(f"{name}:={value}" for name, value in words.items())]
    code = subprocess.call(command)
    found = read_trials(out / TRIALS)
    absent = [seed for seed in seeds if seed not in found]
    if code or absent:
        raise ValueError(
            f"expected trials of {len(seeds)} seeds, {len(absent)} are missing: see "
            f"{(out / TRIALS).with_suffix('.log')} and run the same command again to go on"
        )
    return {seed: found[seed] for seed in seeds}


def read_trials(path: Path) -> dict[int, dict[str, Any]]:
    """The lines of a trials file by seed; nothing where there is none."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return {int(row["seed"]): row for row in rows}


def live_report(trials: Mapping[int, Mapping[str, Any]], lockstep: Sequence[Result], out: Path) -> list[str]:
    """Write OUT/live.json; what the verb prints. `lockstep` may lack some of the seeds, or all."""
    won = {seed: bool(row["task_success"] and row["truth_success"]) for seed, row in trials.items()}
    live = rate(sum(won.values()), len(won))
    summary: dict[str, Any] = {"live": live, "seeds": [min(won), max(won)]}
    said = [f"live success {in_words(live)}"]
    rates = [row["action_rate_hz"] for row in trials.values() if row["action_rate_hz"] is not None]
    if rates:
        summary["action_rate_hz"] = {"least": min(rates), "most": max(rates)}
        said.append(f"action rate {min(rates):.2f} to {max(rates):.2f} Hz")
    both = [result for result in lockstep if result.seed in won]
    if both:
        pairs = mcnemar([result.success for result in both], [won[result.seed] for result in both])
        own = rate(sum(result.success for result in both), len(both))
        agree = own["low"] <= live["high"] and live["low"] <= own["high"]
        summary |= {"lockstep": own, "intervals_overlap": agree, "p_value": pairs.p_value}
        said.append(
            f"lock-step on {len(both)} of these seeds {in_words(own)}; the intervals "
            f"{'overlap' if agree else 'do NOT overlap'}, McNemar p = {pairs.p_value:.3g}"
        )
    write_json(out / SUMMARY, summary)
    return said
