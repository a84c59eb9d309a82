"""`evaluate`: seeded closed-loop episodes of a policy in lock-step, and a report over them.

The same seed gives the same episode. Results are kept one by one in OUT/episodes.jsonl, so that a run that was stopped
goes on; the report (summary.json, episodes.csv, evaluation.png, index.html) is of all results that are there.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from insertion_vla_core.revision import git_revision
from insertion_vla_policy.registry import policy_names
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_sim.config import find_config
from insertion_vla_sim.randomise import RANDOMISATIONS
from insertion_vla_sim.scene import VIEWS

from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.evaluation.hardships import Told, Touch
from insertion_vla_training.evaluation.live import live_report, play_live
from insertion_vla_training.evaluation.pool import evaluate
from insertion_vla_training.evaluation.report import PAGE, write_report
from insertion_vla_training.evaluation.results import EPISODES, ResultsFile, read_results
from insertion_vla_training.evaluation.settings import FIRST_SEED, LAST_SEED, SCRIPTED, Mode, Settings
from insertion_vla_training.evaluation.summary import lines


def _work(given: argparse.Namespace) -> int:
    settings, seeds = _settings(given), range(given.seed, given.seed + given.episodes)
    if given.live:
        trials = play_live(settings, seeds, given.out)
        there = read_results(given.out)[1] if (given.out / EPISODES).exists() else []
        print("\n".join(live_report(trials, there, given.out)))
        return 0
    started_s, used_s = time.monotonic(), _cpu_s()
    with ResultsFile(given.out, settings.identity()) as file:
        todo = [seed for seed in seeds if seed not in file.results]
        if todo:
            with Progress("evaluate", len(todo), "episode") as progress:
                for result in evaluate(todo, settings, given.out, min(given.jobs, len(todo)), given.experts):
                    file.add(result)
                    if not result.success:
                        progress.say(f"seed {result.seed}: {result.outcome}: {result.detail}")
                    progress.advance()
        results = [file.results[seed] for seed in seeds]
    elapsed_s, cpu_s = time.monotonic() - started_s, _cpu_s() - used_s
    summary = write_report(results, settings.identity(), given.out, {"revision": git_revision(Path(__file__))})
    print("\n".join(lines(summary)))
    if todo:
        simulated_s = sum(file.results[seed].duration_s for seed in todo)
        pace = f"{simulated_s / cpu_s:.2g}x real time per core"
        print(f"played {simulated_s:.0f} s of simulation in {elapsed_s:.1f} s, {pace}")
    print(f"{given.policy}: the report is in {given.out / PAGE}")
    return 0


def _settings(given: argparse.Namespace) -> Settings:
    if given.episodes < 1 or given.jobs < 1:
        raise ValueError(f"expected --episodes and --jobs of at least 1, got {given.episodes} and {given.jobs}")
    if given.seed < 0 or given.seed + given.episodes - 1 > LAST_SEED:
        raise ValueError(f"expected seeds from 0 to {LAST_SEED}, got {given.seed} and {given.episodes} episodes")
    for name, least, most in (("time_limit_s", 1.0, 600.0), ("delay_ms", 0.0, 2000.0), ("feature_age_ms", 0.0, 5000.0)):
        if not least <= getattr(given, name) <= most:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"expected {flag} from {least:g} to {most:g}, got {getattr(given, name):g}")
    if given.steps < 1:
        raise ValueError(f"expected --steps of at least 1, got {given.steps}")
    return Settings(
        policy=given.policy,
        config=given.config or find_config(),
        randomisation=given.randomisation,
        time_limit_s=given.time_limit_s,
        options=RunOptions(steps=given.steps),
        inference_delay_s=given.delay_ms * 1e-3,
        feature_age_s=given.feature_age_ms * 1e-3,
        touch=given.touch,
        told=given.told,
        covered=given.covered,
        execution=given.execution,
    )


def _cpu_s() -> float:
    """Of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("evaluate", "Play seeded closed-loop episodes of a policy in simulation and report on them.")
    names = ", ".join(policy_names())
    parser.add_argument("policy", help=f"a name ({names}), {SCRIPTED} (the privileged expert), or a folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of results and report; made if there is none")
    parser.add_argument("--episodes", type=int, default=40, help="how many (40)")
    parser.add_argument(
        "--seed", type=int, default=FIRST_SEED, help=f"of the first; the others count up ({FIRST_SEED})"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that play (one per core)")
    parser.add_argument("--randomisation", choices=RANDOMISATIONS, default="heldout", help="set of scenes (heldout)")
    parser.add_argument("--steps", type=int, default=4, help="of a diffusion expert's sampling (4)")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="added to the inference delay [ms] (0)")
    parser.add_argument("--feature-age-ms", type=float, default=0.0, help="added to the age of features [ms] (0)")
    parser.add_argument(
        "--live", action="store_true", help="in real time through the full ROS graph, beside the results in OUT"
    )
    parser.add_argument("--touch", choices=get_args(Touch), default="own", help="force and A-line that it feels (own)")
    parser.add_argument("--told", choices=get_args(Told), default="named", help="trocar that it is told (named)")
    parser.add_argument("--covered", choices=("", *VIEWS), default="", help="a view with a cap on its lens (none)")
    parser.add_argument("--execution", choices=get_args(Mode), default="blend", help="how a chunk takes over (blend)")
    parser.add_argument("--time-limit-s", type=float, default=60.0, help="longest episode [s] (60)")
    parser.add_argument(
        "--experts", type=Path, help="folder of the expert's paths, to share between runs (OUT/experts)"
    )
    parser.add_argument("--config", type=Path, help="folder with limits.yaml, contracts/ and calibration/")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
