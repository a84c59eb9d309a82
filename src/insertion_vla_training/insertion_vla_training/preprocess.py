"""`preprocess`: bags to one store. Only bags that are not in it yet are read; a run that was stopped goes on.

Bags are read by several processes and written by this one, an episode at a time. A bag that cannot be used costs one
sentence and the rest is still done; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from insertion_vla_training.bags.find import find_bags
from insertion_vla_training.bags.pool import NO_SPACE, Outcome, read_bags
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.stores.episode_data import EpisodeData, load_episode
from insertion_vla_training.stores.episode_index import TRAIN, VALIDATION, Episode, Split
from insertion_vla_training.stores.layout import ALINE_DTYPES
from insertion_vla_training.stores.statistics import update_statistics
from insertion_vla_training.stores.store import Store, is_store, refuse_known

ALINE_TYPE, LOCK_FILE = "f16", "lock"


@dataclass
class Tally:
    """What a run has done."""

    added: list[Episode] = field(default_factory=list)
    there: int = 0
    problems: list[str] = field(default_factory=list)


def preprocess(
    bags: Sequence[Path], path: Path, processes: int, aline_type: str | None = None, split: Split | None = None
) -> Tally:
    """Add the episodes of bags to the store in `path`, which is made if there is none.

    Args:
        bags: folders or files, in the order in which they are added.
        path: of the store.
        processes: how many read at a time.
        aline_type, split: of a new store; None for the defaults, or for those that the store has.

    Raises:
        ValueError: the store is not one, is written to by another process, or has another aline_type or split.
        OSError: the disk is full.
    """
    tally = Tally()
    with _staging(path) as staging:
        store = _open(path, aline_type, split) if is_store(path) else None
        try:
            known = [episode.bag_sha256 for episode in store.episodes()] if store else []
            wanted = store.aline_type if store else aline_type or ALINE_TYPE
            with Progress("preprocess", len(bags), "bag") as progress:
                for outcome in read_bags(bags, known, wanted, staging, processes):
                    data = load_episode(outcome.folder) if outcome.folder else None
                    if store is None and data is not None:
                        store = Store.create(path, data.metadata.contract, wanted, split)
                    problem = _take(store, outcome, data, tally)
                    if problem:
                        tally.problems.append(problem)
                        progress.say(problem)
                    if outcome.folder:
                        shutil.rmtree(outcome.folder)
                    progress.advance()
            if store is not None:
                update_statistics(store)
        finally:
            if store is not None:
                store.close()
    return tally


def _take(store: Store | None, outcome: Outcome, data: EpisodeData | None, tally: Tally) -> str:
    """Add what came of one bag; a sentence if it could not be added."""
    if outcome.problem or store is None:
        return outcome.problem
    try:
        if data is None:
            tally.there += _is_there(store, outcome)
        else:
            tally.added.append(store.append_episode(data))
    except ValueError as error:
        return str(error)
    return ""


def _is_there(store: Store, outcome: Outcome) -> bool:
    """Whether the store has this very bag; raises ValueError if it has another bag of the same content."""
    for episode in store.episodes():
        if episode.bag_sha256 == outcome.sha256:
            moved = Path(episode.bag).name == outcome.bag.name and not Path(episode.bag).exists()
            if moved or episode.bag == str(outcome.bag.resolve()):
                return True
    refuse_known(store.episodes(), "", str(outcome.bag), outcome.sha256)
    return True


def _open(path: Path, aline_type: str | None, split: Split | None) -> Store:
    store = Store.open(path, writable=True)
    if (aline_type or store.aline_type) != store.aline_type or (split or store.split) != store.split:
        store.close()
        raise ValueError(
            f"expected the settings of store {path} (--alines {store.aline_type} --seed {store.split.seed} --val-share "
            f"{store.split.val_share:g}), got others; leave them out, or name another folder for the store"
        )
    return store


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """An empty folder beside the store, for one run at a time; what a killed run left in it is removed."""
    folder = path.absolute().with_name(f".{path.absolute().name}.staging")
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ValueError(f"another preprocess writes to the store {path}; wait for it to end, or stop it") from error
    try:
        for leftover in folder.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _work(given: argparse.Namespace) -> int:
    bags = find_bags(given.bags)
    if given.jobs < 1:
        raise ValueError(f"expected --jobs of at least 1, got {given.jobs}")
    split = None
    if given.seed is not None or given.val_share is not None:
        share = Split().val_share if given.val_share is None else given.val_share
        if not 0.0 <= share < 1.0:
            raise ValueError(f"expected --val-share from 0 to below 1, got {share:g}")
        split = Split(seed=given.seed or 0, val_share=share)
    started_s = time.monotonic()
    try:
        tally = preprocess(bags, given.store, min(given.jobs, len(bags)), given.alines, split)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise ValueError(
                f"no space left for the store {given.store}: {error.strerror}; the episodes that were "
                "added stay; make space and run the same command again to go on"
            ) from error
        raise
    _report(given.store, tally, time.monotonic() - started_s)
    return 1 if tally.problems else 0


def _report(path: Path, tally: Tally, elapsed_s: float) -> None:
    recorded_s = sum(episode.duration_s for episode in tally.added)
    own, readers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + readers.ru_utime + readers.ru_stime
    if is_store(path):
        store = Store.open(path)
        counts = {split: len(store.episodes(split)) for split in (TRAIN, VALIDATION)}
        bad = sum(episode.bad for episode in store.episodes())
        print(
            f"store {path}: {sum(counts.values())} episodes ({counts[TRAIN]} train, {counts[VALIDATION]} val; "
            f"{bad} of them bad)"
        )
    speed = f", {recorded_s / cpu_s:.2g}x real time per core" if tally.added else ""
    print(
        f"added {len(tally.added)} episodes ({recorded_s:.0f} s) in {elapsed_s:.1f} s{speed}; {tally.there} were "
        f"there already, {len(tally.problems)} could not be added"
    )
    for problem in tally.problems:
        print(f"  {problem}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("preprocess", "Add recorded episodes (bags) to a store.")
    parser.add_argument("bags", nargs="+", type=Path, help="bags, or folders of bags")
    parser.add_argument("--store", type=Path, required=True, help="folder of the store; made if there is none")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that read bags")
    parser.add_argument("--alines", choices=sorted(ALINE_DTYPES), help="type of A-lines in a new store (f16)")
    parser.add_argument("--seed", type=int, help="of the split of a new store (0)")
    parser.add_argument("--val-share", type=float, help="of the episodes of a new store, for validation (0.1)")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
