"""export: a store as a LeRobot or state-diffusion data set, bags as CSV; see docs/exporting.md."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from insertion_vla_training.bags.find import find_bags
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.exporters.bag_csv import write_bag_csv
from insertion_vla_training.exporters.control_grid import runs, views_with_images
from insertion_vla_training.exporters.dp_zarr import write_dp_zarr
from insertion_vla_training.exporters.lerobot import LeRobotWriter
from insertion_vla_training.exporters.lerobot_plan import plan
from insertion_vla_training.exporters.target import new_folder
from insertion_vla_training.stores.episode_index import TRAIN, VALIDATION, Episode
from insertion_vla_training.stores.store import Store

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _chosen(store: Store, given: argparse.Namespace) -> list[Episode]:
    """The episodes to export: good ones, of one split or by name where that was asked for."""
    known = store.episodes(given.split)
    if given.episodes:
        names = {episode.name for episode in known}
        missing = [name for name in given.episodes if name not in names]
        if missing:
            raise ValueError(f"expected episodes of {store.path}, there are none called {', '.join(missing)}")
        known = [episode for episode in known if episode.name in given.episodes]
    good = [episode for episode in known if not episode.bad]
    if not good:
        raise ValueError(
            f"expected episodes to export in {store.path}, found none ({len(known)} are bad); collect or import some"
        )
    if len(good) < len(known):
        print(f"export: {len(known) - len(good)} bad episodes are left out", file=sys.stderr)
    return good


def _lerobot(given: argparse.Namespace) -> int:
    store = Store.open(given.store)
    episodes = _chosen(store, given)
    with Progress("observations", len(episodes), "episode") as progress:
        planned = plan(store, episodes, given.videos, progress.advance)
    with new_folder(given.to) as folder, Progress("frames", sum(map(len, planned.runs)), "frame") as progress:
        writer = LeRobotWriter(planned, folder)
        try:
            for run in planned.runs:
                try:
                    writer.add(run)
                except ValueError as error:
                    planned.left_out.append(f"episode {run.episode.name}: {error}; it is left out")
                    progress.say(planned.left_out[-1])
                progress.advance(len(run))
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
    frames = sum(map(len, writer.written))
    print(
        f"exported {len(writer.written)} episodes of {frames} frames at {planned.fps} Hz to {given.to}{_size(given.to)}"
    )
    return _report(planned.left_out)


def _dp_zarr(given: argparse.Namespace) -> int:
    store = Store.open(given.store)
    episodes = _chosen(store, given)
    views = views_with_images(store, episodes)
    found, left_out = [], []
    with Progress("observations", len(episodes), "episode") as progress:
        for episode in episodes:
            parts = runs(store, episode, [])
            found += parts
            if not parts:
                left_out.append(f"episode {episode.name}: no two ticks in a row are whole; it is left out")
            progress.advance()
    if not found:
        raise ValueError(f"expected ticks with observations and commands in {store.path}, found none: {left_out[0]}")
    with new_folder(given.to) as folder:
        columns = write_dp_zarr(store, found, folder)
    print(f"exported {len(found)} episodes of {sum(map(len, found))} rows to {given.to}{_size(given.to)}")
    for what, names in columns.items():
        if names:
            print(f"  {what}: {', '.join(names)}{' (NaN)' if what == 'missing' else ' (of the joints)'}")
    if views:
        print(f"  left out: images of {', '.join(view.name for view in views)}")
    return _report(left_out)


def _csv(given: argparse.Namespace) -> int:
    bags = find_bags(given.bags)
    given.to.mkdir(parents=True, exist_ok=True)
    problems = []
    files = 0
    with Progress("bags", len(bags), "bag") as progress:
        for bag in bags:
            try:
                with new_folder(given.to / (bag.stem if bag.suffix == ".mcap" else bag.name)) as folder:
                    files += write_bag_csv(bag, folder)
            except ValueError as error:
                problems.append(str(error))
                progress.say(str(error))
            progress.advance()
    print(f"exported {len(bags) - len(problems)} bags as {files} CSV files to {given.to}{_size(given.to)}")
    return _report(problems)


def _size(folder: Path) -> str:
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f" ({total / 1e6:.1f} MB)"


def _report(problems: Sequence[str]) -> int:
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if problems else 0


def _work(given: argparse.Namespace) -> int:
    kinds: dict[str, Callable[[argparse.Namespace], int]] = {"lerobot": _lerobot, "dp-zarr": _dp_zarr, "csv": _csv}
    try:
        return kinds[given.format](given)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise ValueError(
                f"no space left for the export {given.to}: {error.strerror}; nothing of it was kept; make space "
                "and run the same command again"
            ) from error
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("export", "Export a store or bags in another format.")
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    lerobot = formats.add_parser(
        "lerobot", description="A store as a LeRobot data set, version 3.0.", help="LeRobot v3"
    )
    lerobot.add_argument(
        "--videos", action="store_true", help="H.264 videos; without, JPEG bytes in the rows, lossless"
    )
    zarr = formats.add_parser("dp-zarr", description="A store as a state-diffusion Zarr data set.", help="Zarr v2")
    for parser_of in (lerobot, zarr):
        parser_of.add_argument("store", type=Path, help="folder of the store")
        parser_of.add_argument("--to", type=Path, required=True, help="new folder")
        parser_of.add_argument("--split", choices=(TRAIN, VALIDATION), help="only these episodes (all)")
        parser_of.add_argument("--episodes", nargs="+", metavar="NAME", help="only these episodes (all)")
    bags = formats.add_parser("csv", description="Bags as CSV files, one per stream.", help="CSV of bags, for people")
    bags.add_argument("bags", nargs="+", type=Path, help="bags, or folders of bags")
    bags.add_argument("--to", type=Path, required=True, help="folder for a folder per bag")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
