"""Many lock-step episodes of the scripted expert, in processes: `python -m insertion_vla_sim.lockstep --seeds 200`."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from insertion_vla_core.contract import load_contract
from insertion_vla_core.limits import load_limits
from insertion_vla_core.workers import start_worker, worker_context

from insertion_vla_sim.config import find_config
from insertion_vla_sim.lockstep import Episode, Lockstep
from insertion_vla_sim.privileged import PrivilegedPolicy
from insertion_vla_sim.randomise import RANDOMISATIONS, Randomisation


@dataclass(frozen=True)
class Job:
    """One episode to play."""

    seed: int
    config: Path
    randomisation: Randomisation
    aim_error_m: float
    time_limit_s: float


def play(job: Job) -> Episode:
    """Play one episode with the scripted expert."""
    episode = Lockstep(
        job.seed,
        limits=load_limits(job.config / "limits.yaml"),
        contract=load_contract(job.config / "contracts" / "insertion.yaml"),
        randomisation=job.randomisation,
        time_limit_s=job.time_limit_s,
    )
    if job.aim_error_m:
        episode.policy = PrivilegedPolicy(episode.world, episode.colour, job.seed, job.aim_error_m)
    return episode.run()


def play_all(jobs: Sequence[Job], processes: int) -> list[Episode]:
    """Play the jobs, with a progress line on standard error; results in the order of the jobs."""
    episodes: list[Episode] = []
    started_s = time.monotonic()
    with worker_context().Pool(processes, start_worker) as pool:
        for episode in pool.imap(play, jobs):
            episodes.append(episode)
            good = sum(e.success for e in episodes)
            elapsed_s = time.monotonic() - started_s
            line = f"{len(episodes)}/{len(jobs)} episodes, {good} successful, {elapsed_s:.0f} s"
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return episodes


def table(episodes: Sequence[Episode]) -> str:
    """The summary, and one line for each episode that failed."""
    good = [e for e in episodes if e.success]
    lines = [f"success          {len(good)}/{len(episodes)} = {100.0 * len(good) / len(episodes):.1f} %"]
    rows = {
        "duration [s]": [e.duration_s for e in episodes],
        "overshoot [mm]": [e.truth.overshoot_m * 1e3 for e in good],
        "lateral [mm]": [e.truth.lateral_m * 1e3 for e in good],
        "peak force [N]": [e.truth.peak_force_n for e in episodes],
    }
    for name, values in rows.items():
        if values:
            lines.append(f"{name:16s} median {statistics.median(values):6.2f}   max {max(values):6.2f}")
    failed = [e for e in episodes if not e.success]
    lines += [
        f"seed {e.seed:4d} {e.colour:5s} {e.duration_s:5.1f} s  overshoot {e.truth.overshoot_m * 1e3:+.2f} mm  "
        f"peak {e.truth.peak_force_n:.2f} N  {e.reason}"
        for e in failed
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0 when at least 98 % succeed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="insertion_vla_sim.lockstep", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="number of episodes")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--randomisation", choices=RANDOMISATIONS, default="train")
    parser.add_argument("--aim-error-mm", type=float, default=0.0, help="sideways error of the expert's mouth")
    parser.add_argument("--time-limit-s", type=float, default=60.0)
    parser.add_argument("--config", type=Path, default=None, help="folder with limits.yaml and contracts/")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.processes < 1 or options.first < 0:
        parser.error("expected at least one seed and one process, and a first seed that is not negative")
    config = options.config or find_config()
    seeds = range(options.first, options.first + options.seeds)
    jobs = [
        Job(seed, config, options.randomisation, options.aim_error_mm * 1e-3, options.time_limit_s) for seed in seeds
    ]
    try:
        episodes = play_all(jobs, options.processes)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    print(table(episodes))
    return 0 if sum(e.success for e in episodes) >= 0.98 * len(episodes) else 1
