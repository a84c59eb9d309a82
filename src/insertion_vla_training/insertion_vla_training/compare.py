"""`compare`: policies on the same seeds in lock-step, as they are and under one hardship at a time.

Results are kept episode by episode as those of `evaluate` are, a folder per condition: a run that was stopped goes on.
OUT/index.html shows success with intervals, paired tests, sweeps and films; comparison.json, .csv and .png beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from insertion_vla_sim.config import find_config
from insertion_vla_sim.randomise import RANDOMISATIONS

from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.evaluation.comparison import PAGE, Played, write_comparison
from insertion_vla_training.evaluation.pool import evaluate
from insertion_vla_training.evaluation.results import ResultsFile
from insertion_vla_training.evaluation.settings import FIRST_SEED, LAST_SEED, Settings
from insertion_vla_training.evaluation.summary import in_words
from insertion_vla_training.evaluation.variants import AS_IS, SWEEPS, Variant, variants

EPISODES, EPISODES_FULL = 40, 200


def _work(given: argparse.Namespace) -> int:
    chosen, seeds = _variants(given), _seeds(given)
    with Progress("compare", len(chosen) * len(seeds), "episode") as progress:
        played = [Played(variant, _play(variant, seeds, given, progress)) for variant in chosen]
    comparison = write_comparison(played, given.out)
    for row in comparison["rows"]:
        what = "" if row["sweep"] == AS_IS else f", {row['sweep']} {row['value']}"
        print(f"{row['policy']}{what}: success {in_words(row['success'])}")
    for pair in comparison["pairs"]:
        print(
            f"{pair['first']} against {pair['second']}: {pair['difference']:+.1f} points "
            f"({pair['low']:+.1f} to {pair['high']:+.1f}), McNemar p = {pair['p_value']:.3g}"
        )
    print(f"the report is in {given.out / PAGE}")
    return 0


def _play(variant: Variant, seeds: range, given: argparse.Namespace, progress: Progress) -> list:
    out = given.out / variant.folder
    with ResultsFile(out, variant.settings.identity()) as file:
        todo = [seed for seed in seeds if seed not in file.results]
        for _ in range(len(seeds) - len(todo)):
            progress.advance()
        if todo:
            for result in evaluate(todo, variant.settings, out, min(given.jobs, len(todo)), given.out / "experts"):
                file.add(result)
                progress.advance()
        return [file.results[seed] for seed in seeds]


def _seeds(given: argparse.Namespace) -> range:
    episodes = given.episodes or (EPISODES_FULL if given.full else EPISODES)
    if episodes < 1 or given.jobs < 1:
        raise ValueError(f"expected --episodes and --jobs of at least 1, got {episodes} and {given.jobs}")
    if not FIRST_SEED <= given.seed <= LAST_SEED - episodes + 1:
        raise ValueError(
            f"expected seeds from {FIRST_SEED} to {LAST_SEED}, which training never uses, got {given.seed} and "
            f"{episodes} episodes"
        )
    return range(given.seed, given.seed + episodes)


def _variants(given: argparse.Namespace) -> list[Variant]:
    unknown = [name for name in given.sweeps if name not in (*SWEEPS, "all", "none")]
    if unknown:
        raise ValueError(f"expected --sweeps of {', '.join(SWEEPS)}, all or none, got '{unknown[0]}'")
    sweeps = list(SWEEPS) if "all" in given.sweeps else [name for name in given.sweeps if name != "none"]
    config = given.config or find_config()
    policies = [Settings(policy, config, randomisation=given.randomisation) for policy in given.policies]
    swept = variants(policies, sweeps)
    beside = [Settings(policy, config, randomisation=given.randomisation) for policy in given.beside]
    alone = variants([*policies, *beside], [])[len(policies) :]
    return [*swept[: len(policies)], *alone, *swept[len(policies) :]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("compare", "Play policies on the same seeds and report on what differs.")
    parser.add_argument("policies", nargs="+", help="names or folders of the policies that all sweeps are played with")
    parser.add_argument("--out", type=Path, required=True, help="folder of results and report; made if there is none")
    parser.add_argument("--beside", nargs="*", default=[], help="policies that are only played as they are")
    parser.add_argument("--sweeps", nargs="*", default=["all"], help=f"{', '.join(SWEEPS)}, all or none (all)")
    parser.add_argument("--episodes", type=int, help=f"per condition ({EPISODES})")
    parser.add_argument("--full", action="store_true", help=f"{EPISODES_FULL} episodes per condition")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help=f"of the first episode ({FIRST_SEED})")
    parser.add_argument("--randomisation", choices=RANDOMISATIONS, default="train", help="set of scenes (train)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that play (one per core)")
    parser.add_argument("--config", type=Path, help="folder with limits.yaml, contracts/ and calibration/")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
