"""`inspect`: is a data set fit to learn from? Checks, pages with pictures, and a verdict that programs can read.

Every episode is looked at once, by several processes; a run that was stopped goes on, and one with new episodes looks
at those alone. What is usual is then worked out over all of them, and the pages are written anew.

    <report>/index.html                     the data set
    <report>/episodes/<name>/report.html    one episode
    <report>/episodes/<name>/sheet.png      its contact sheet
    <report>/verdict.json                   every check with value, bound, ok and sentence
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from insertion_vla_core.limits import load_limits
from insertion_vla_sim.config import find_config

from insertion_vla_training.bags.pool import NO_SPACE
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.inspection.bounds import bounds_of
from insertion_vla_training.inspection.check import Check
from insertion_vla_training.inspection.dataset import checks_of_dataset
from insertion_vla_training.inspection.pages import INDEX, PAGE, Inspected, write_pages
from insertion_vla_training.inspection.pictures import SHEET
from insertion_vla_training.inspection.pool import folder_of, known, look_at_all
from insertion_vla_training.inspection.relative import checks_of
from insertion_vla_training.stores.episode_index import write_json
from insertion_vla_training.stores.store import Store

VERDICT_FILE, VERSION = "verdict.json", 1
NAMED = 20
EXIT_BAD = 1


def inspect(path: Path, report: Path, limits_file: Path, processes: int) -> tuple[list[Inspected], list[Check], int]:
    """Inspect a store and write its report.

    Returns:
        The episodes with their checks, the checks of the data set, and how many episodes were looked at this time.

    Raises:
        ValueError: no store, an empty one, or limits that cannot be read.
        OSError: the report cannot be written, or a process was killed.
    """
    limits = load_limits(limits_file)
    store = Store.open(path)
    episodes = store.episodes()
    if not episodes:
        raise ValueError(f"expected episodes in {path}, there are none; add some with: preprocess")
    found = known(store, report, limits)
    new = [episode for episode in episodes if episode.name not in found]
    if new:
        with Progress("inspect", len(new), "episode") as progress:
            for episode, measured in look_at_all(store, new, report, limits, min(processes, len(new))):
                found[episode.name] = measured
                progress.advance()
    found = {episode.name: found[episode.name] for episode in episodes}
    bounds = bounds_of(store.contract, limits, episodes, list(found.values()))
    inspected = [
        Inspected(
            episode, folder_of(report, episode), found[episode.name],
            tuple(checks_of(store.contract, episode, found[episode.name], bounds)),
        )
        for episode in episodes
    ]  # fmt: skip
    dataset = checks_of_dataset(store, found)
    write_pages(store, report, inspected, dataset, bounds)
    write_json(report / VERDICT_FILE, verdict(store, report, inspected, dataset))
    return inspected, dataset, len(new)


def verdict(store: Store, report: Path, inspected: Sequence[Inspected], dataset: Sequence[Check]) -> dict[str, object]:
    """What programs read; every check has name, subject, value, bound, unit, ok and sentence."""
    return {
        "version": VERSION,
        "store": str(store.path.absolute()),
        "ok": not _bad(inspected, dataset),
        "dataset": [check.model_dump(mode="json") for check in dataset],
        "episodes": [
            {
                "name": one.episode.name,
                "split": one.episode.split,
                "ok": not one.bad,
                "report": (one.folder / PAGE).relative_to(report).as_posix(),
                "sheet": (one.folder / SHEET).relative_to(report).as_posix(),
                "checks": [check.model_dump(mode="json") for check in one.checks],
            }
            for one in inspected
        ],
    }


def _bad(inspected: Sequence[Inspected], dataset: Sequence[Check]) -> bool:
    return any(one.bad for one in inspected) or not all(check.ok for check in dataset)


def _work(given: argparse.Namespace) -> int:
    if given.jobs < 1:
        raise ValueError(f"expected --jobs of at least 1, got {given.jobs}")
    store = given.store.absolute()
    report = given.report or store.with_name(f"{store.name}_report")
    try:
        inspected, dataset, new = inspect(store, report, given.limits or find_config() / "limits.yaml", given.jobs)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise ValueError(
                f"no space left for the report {report}: {error.strerror}; make space and run the same command again "
                "to go on"
            ) from error
        raise
    _tell(report, inspected, dataset, new)
    return EXIT_BAD if given.strict and _bad(inspected, dataset) else 0


def _tell(report: Path, inspected: Sequence[Inspected], dataset: Sequence[Check], new: int) -> None:
    bad = [one for one in inspected if one.bad]
    lines = [f"data set: {check.sentence}" for check in dataset if not check.ok]
    lines += [f"{one.episode.name}: {check.sentence}" for one in bad for check in one.bad]
    for line in lines[:NAMED]:
        print(line)
    if len(lines) > NAMED:
        print(f"and {len(lines) - NAMED} more")
    whole = "good" if all(check.ok for check in dataset) else "not good"
    print(
        f"{len(inspected)} episodes ({new} looked at now): {len(inspected) - len(bad)} good, {len(bad)} not; "
        f"the data set as a whole is {whole}; report: {report / INDEX}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("inspect", "Check the episodes of a store, and write pages and pictures of them.")
    parser.add_argument("store", type=Path, help="folder of the store")
    parser.add_argument("--report", type=Path, help="folder of the report (<store>_report beside the store)")
    parser.add_argument("--limits", type=Path, help="limits of the gate (config/limits.yaml of the workspace)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that look at episodes")
    parser.add_argument("--strict", action="store_true", help="exit with code 1 when anything is not good")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
