"""`cache`: features of a store's images, computed once for training. Subcommands: build, verify, list.

cache build data/store --backbone visual_servo
torchrun --nproc-per-node 4 -m insertion_vla_training.cache build data/store --backbone ...
cache verify data/store
cache list data/store
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from insertion_vla_sim.config import find_config

from insertion_vla_training.caching.backbone import make_backbone, views_of
from insertion_vla_training.caching.build import build, plan, rank_and_world
from insertion_vla_training.caching.features import FeatureCache
from insertion_vla_training.caching.index import FEATURES, cache_root
from insertion_vla_training.caching.key import find_keys, make_key, write_key
from insertion_vla_training.caching.tensors import remove_leftovers
from insertion_vla_training.caching.verify import verify
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.datasets.ages import FeatureAges
from insertion_vla_training.datasets.episodes import usable_episodes
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store


def _build(given: argparse.Namespace) -> int:
    started_s = time.monotonic()
    rank, world = rank_and_world()
    store, episodes, root = _opened(given)
    calibration = given.calibration or find_config() / "calibration" / "sim.yaml"
    make = functools.partial(make_backbone, given.backbone, calibration, given.device)
    backbone = make()
    views = tuple(given.views.split(",")) if given.views else views_of(backbone, store.contract)
    folder = write_key(root / FEATURES, make_key(backbone, store.contract, views, given.dtype))
    del backbone  # every process has its own
    # A learned backbone takes the memory of a GPU and all cores by itself.
    jobs = given.jobs or (1 if Path(given.backbone).expanduser().is_dir() else os.cpu_count() or 1)
    remove_leftovers(folder)
    todo = plan(store, episodes, root, FeatureCache(folder), rank, world)
    for sentence in todo.damaged:
        print(f"replaced: {sentence}", file=sys.stderr)
    computed = sum(job.sets for job in todo.jobs)
    if todo.jobs:
        with Progress("cache", computed, "image set") as progress:
            for job in build(store.path, folder, todo.jobs, make, jobs):
                progress.advance(job.sets)
    elapsed_s = time.monotonic() - started_s
    of_rank = f" (rank {rank} of {world})" if world > 1 else ""
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(
        f"features {folder.name}: {computed} image sets of {len(episodes)} episodes computed in {elapsed_s:.1f} s, "
        f"{todo.there} were there{of_rank}; {_megabytes(size)} in {folder}"
    )
    return 0


def _verify(given: argparse.Namespace) -> int:
    store, episodes, root = _opened(given)
    found = _caches(root, given.features)
    ages = FeatureAges(source=given.ages, latency_s=given.latency_s, period_s=given.period_s)
    code = 0
    for folder in found:
        verdict = verify(store, episodes, root, FeatureCache(folder), ages, given.label)
        ages_text = "no ages" if verdict.ages_s is None else "ages {:.2f} to {:.2f} s".format(*verdict.ages_s)
        print(
            f"features {folder.name}: {verdict.samples} samples of {len(episodes)} episodes have every entry that they "
            f"may draw ({verdict.drawn} of {verdict.entries} entries, {ages_text}); {verdict.left_out} ticks are no "
            f"samples, without features in time; {len(verdict.problems)} problems"
        )
        for problem in verdict.problems:
            print(f"  {problem}", file=sys.stderr)
        if verdict.samples == 0 and not verdict.problems:
            print("  expected samples, there are none: is the store empty?", file=sys.stderr)
        code |= bool(verdict.problems) or verdict.samples == 0
    return code


def _list(given: argparse.Namespace) -> int:
    _, _, root = _opened(given)
    for folder in find_keys(root / FEATURES):
        key = FeatureCache(folder).key
        shards = [path for path in folder.iterdir() if path.suffix == ".safetensors"]
        views = ", ".join(f"{view} {size}" for view, size in zip(key.views, key.sizes, strict=True))
        size = sum(path.stat().st_size for path in shards)
        print(f"{folder.name}: model {key.model_id} {key.model_hash}, {views}, {key.dtype}, {_megabytes(size)}")
    return 0


def _opened(given: argparse.Namespace) -> tuple[Store, list[Episode], Path]:
    store = Store.open(given.store)
    episodes = usable_episodes(store, None, given.include_bad, given.include_failed)
    return store, episodes, cache_root(store.path, given.cache)


def _caches(root: Path, name: str | None) -> list[Path]:
    found = find_keys(root / FEATURES)
    chosen = [folder for folder in found if name is None or folder.name == name]
    if not chosen:
        known = ", ".join(folder.name for folder in found) or "none"
        raise ValueError(f"expected features {name or ''} in {root / FEATURES}, there are {known}: run cache build")
    return chosen


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("cache", "Features of a store's images, computed once for training.")
    commands = parser.add_subparsers(dest="command", required=True)
    works = {"build": _build, "verify": _verify, "list": _list}
    helps = {
        "build": "compute what is missing; goes on where it was stopped; with torchrun every rank does its part",
        "verify": "prove that every training sample has the features that it may draw; exit code 1 if not",
        "list": "what there is",
    }
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in helps.items()}
    for command in made.values():
        command.add_argument("store", type=Path, help="folder of the store")
        command.add_argument("--cache", type=Path, help="folder of the caches (STORE/cache)")
        command.add_argument("--include-bad", action="store_true", help="also episodes that are flagged bad")
        command.add_argument("--include-failed", action="store_true", help="also episodes whose outcome is failure")
    command = made["build"]
    command.add_argument("--backbone", required=True, help="name of a policy, or folder of a learned backbone")
    command.add_argument("--calibration", type=Path, help="camera calibration (the simulation's)")
    command.add_argument("--views", help="views in the order of the backbone, with commas (its own)")
    command.add_argument("--dtype", choices=("f32", "f16"), default="f32", help="of the stored features (f32)")
    command.add_argument("--device", help="of a learned backbone, for example cpu or cuda (as its settings say)")
    command.add_argument("--jobs", type=int, help="processes that compute (one per core; 1 for a learned backbone)")
    command = made["verify"]
    command.add_argument("--features", help="name as `cache list` says it (all there are)")
    command.add_argument("--label", choices=("chunks", "commands"), default="chunks", help="source of labels (chunks)")
    defaults = FeatureAges()
    command.add_argument("--ages", choices=("recorded", "uniform"), default="recorded", help="of features (recorded)")
    command.add_argument("--latency-s", type=float, default=defaults.latency_s, help="of the vlm node (0.1)")
    command.add_argument("--period-s", type=float, default=defaults.period_s, help="of the vlm node (0.385)")
    return run_verb(parser, lambda given: works[given.command](given), arguments)


if __name__ == "__main__":
    sys.exit(main())
