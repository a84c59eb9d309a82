"""`collect --fast`: the scripted expert's episodes in lock-step, without ROS, as the bags that the graph records.

The same seed and settings give the same bag, byte for byte. Episodes that are there and whole are not played again, so
a run that was stopped goes on; what it had begun leaves no bag. `ros2 launch insertion_vla collect.launch.py` collects
through the running graph instead.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path

from insertion_vla_core.revision import git_revision
from insertion_vla_core.workers import start_worker, worker_context
from insertion_vla_policy.registry import policy_names
from insertion_vla_sim.config import find_config
from insertion_vla_sim.randomise import RANDOMISATIONS

from insertion_vla_training.bags.pool import NO_SPACE
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.collecting.episode import LAST_SEED, Collected, Settings, collect_episode
from insertion_vla_training.collecting.expert import Variety

_stop: Event | None = None  # in a worker: the run is to end


def collect(seeds: Sequence[int], settings: Settings, out: Path, jobs: int) -> Iterator[Collected]:
    """Collect episodes, in the order in which they are ready.

    Args:
        seeds: of the episodes.
        settings: of all of them.
        out: folder of the bags; made if it is not there.
        jobs: processes that play; 1 plays in this one.

    Raises:
        ValueError, OSError: as `collect_episode`, or a playing process was killed.
    """
    out.mkdir(parents=True, exist_ok=True)
    if jobs == 1:
        yield from (collect_episode(seed, settings, out) for seed in seeds)
        return
    context = worker_context()
    stop = context.Event()
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(stop,)) as pool:
        try:
            running = {pool.submit(_collect_one, seed, settings, out) for seed in seeds}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise OSError(
                "a process that collected was killed, perhaps for want of memory; the episodes that are there stay; "
                "run the same command again to go on, with fewer --jobs"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _start(stop: Event) -> None:
    global _stop
    _stop = stop
    start_worker()


def _collect_one(seed: int, settings: Settings, out: Path) -> Collected:
    assert _stop is not None
    return collect_episode(seed, settings, out, _stop.is_set)


def _work(given: argparse.Namespace) -> int:
    if not given.fast:
        raise ValueError(
            "expected --fast (lock-step, without ROS); to collect through the running graph use: "
            "ros2 launch insertion_vla collect.launch.py"
        )
    settings = _settings(given)
    seeds = range(given.seed, given.seed + given.episodes)
    started_s, used_s = time.monotonic(), _cpu_s()
    collected: list[Collected] = []
    try:
        with Progress("collect", len(seeds), "episode") as progress:
            for episode in collect(seeds, settings, given.out, min(given.jobs, len(seeds))):
                collected.append(episode)
                for reason in episode.reasons:
                    progress.say(f"{episode.name}: {reason}")
                progress.advance()
    except OSError as error:
        if error.errno in NO_SPACE:
            raise ValueError(
                f"no space left for bags in {given.out}: {error.strerror}; the episodes that are there stay; make "
                "space and run the same command again to go on"
            ) from error
        raise
    _report(given.out, collected, time.monotonic() - started_s, _cpu_s() - used_s)
    return 1 if any(episode.bad for episode in collected) else 0


def _settings(given: argparse.Namespace) -> Settings:
    if given.episodes < 1 or given.jobs < 1:
        raise ValueError(f"expected --episodes and --jobs of at least 1, got {given.episodes} and {given.jobs}")
    if not 0 <= given.seed <= LAST_SEED - given.episodes:
        raise ValueError(f"expected seeds from 0 to {LAST_SEED}, got {given.seed} and {given.episodes} episodes")
    for name, most in (("aim_error_mm", 2.5), ("start_spread_deg", 10.0), ("disturbance", 1.0)):
        if not 0.0 <= getattr(given, name) <= most:
            raise ValueError(f"expected --{name.replace('_', '-')} from 0 to {most:g}, got {getattr(given, name):g}")
    if not 1.0 <= given.time_limit_s <= 600.0:
        raise ValueError(f"expected --time-limit-s from 1 to 600, got {given.time_limit_s:g}")
    config = given.config or find_config()
    return Settings(
        config=config,
        randomisation=given.randomisation,
        variety=Variety(given.aim_error_mm * 1e-3, math.radians(given.start_spread_deg), given.disturbance),
        features=given.features,
        time_limit_s=given.time_limit_s,
        revision=git_revision(Path(__file__)),
    )


def _cpu_s() -> float:
    """Of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _report(out: Path, collected: Sequence[Collected], elapsed_s: float, cpu_s: float) -> None:
    new = [episode for episode in collected if not episode.there]
    simulated_s = sum(episode.duration_s for episode in new)
    good, bad = sum(e.outcome == "success" for e in collected), sum(e.bad for e in collected)
    print(f"{out}: {len(collected)} episodes, {good} successful, {bad} bad; {len(collected) - len(new)} were there")
    if new:
        print(
            f"collected {simulated_s:.0f} s of simulation in {elapsed_s:.1f} s, "
            f"{simulated_s / cpu_s:.2g}x real time per core"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("collect", "Record episodes of the scripted expert in simulation, as bags.")
    parser.add_argument("--fast", action="store_true", help="in lock-step, without ROS; the only way of this verb")
    parser.add_argument("--episodes", type=int, required=True, help="how many")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bags; made if there is none")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode; the others count up (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that play (one per core)")
    parser.add_argument("--randomisation", choices=RANDOMISATIONS, default="train", help="set of scenes (train)")
    parser.add_argument("--aim-error-mm", type=float, default=0.0, help="the expert's mouth is off by up to this (0)")
    parser.add_argument("--start-spread-deg", type=float, default=0.0, help="joints start off by up to this (0)")
    parser.add_argument(
        "--disturbance", type=float, default=0.0,
        help="error of the executed motion as a share of it, while the chunks stay the expert's answers (0)",
    )  # fmt: skip
    parser.add_argument("--features", choices=policy_names(), default="", help="record features of its backbone (none)")
    parser.add_argument("--time-limit-s", type=float, default=60.0, help="longest episode [s] (60)")
    parser.add_argument("--config", type=Path, help="folder with limits.yaml, contracts/ and calibration/")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
