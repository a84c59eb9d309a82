"""import: other recordings as bags, which every tool of this workspace reads; see docs/importing.md.

The module's name ends with an underscore because `import` is a word of Python.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from insertion_vla_core.episode_metadata import Outcome

from insertion_vla_training.bags.metadata import FILE_NAME, from_custom_data, read_metadata
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.importers.episode import HASH_KEY, SOURCE, Episode, Options, write_bag
from insertion_vla_training.importers.find import find_episodes

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class Tally:
    """What became of the recordings: names of new bags, how many were there already, and what could not be used."""

    added: list[str] = field(default_factory=list)
    there: int = 0
    problems: list[str] = field(default_factory=list)


def import_all(paths: Sequence[Path], to: Path, options: Options) -> Tally:
    """Write a bag for every episode at and below the paths; what cannot be imported stops nothing else.

    Raises:
        ValueError: a path is not there.
        OSError: the disk is full.
    """
    episodes, problems = find_episodes(paths, options)
    tally = Tally(problems=list(problems))
    to.mkdir(parents=True, exist_ok=True)
    known = _known(to)
    with Progress("import", len(episodes), "episode") as progress:
        for problem in problems:
            progress.say(problem)
        for episode in episodes:
            try:
                found = _import(episode, to, known, tally)
            except ValueError as error:
                found = [_placed(episode.place, str(error))]
            except OSError as error:
                if error.errno in NO_SPACE:
                    raise
                found = [f"{episode.place}: cannot be read: {error.strerror or error}; check the disk"]
            for problem in found:
                progress.say(problem)
            tally.problems += found
            progress.advance()
    return tally


def _import(episode: Episode, to: Path, known: dict[str, str], tally: Tally) -> list[str]:
    """Import one; gives what of it could not be used."""
    sha256 = episode.sha256()
    folder = to / episode.name
    if known.get(sha256) == episode.name:
        tally.there += 1
        return []
    if sha256 in known:
        raise ValueError(f"is a duplicate of {known[sha256]}: it holds the same bytes; remove one of the two")
    if folder.exists():
        raise ValueError(
            f"there is another episode in {folder}, of other content; rename one of the two, or import into another "
            "folder"
        )
    imported = episode.read()
    write_bag(episode.name, imported, sha256, folder)
    known[sha256] = episode.name
    tally.added.append(episode.name)
    return [_placed(episode.place, problem) for problem in imported.problems]


def _placed(place: str, problem: str) -> str:
    return problem if problem.startswith(place) else f"{place}: {problem}"


def _known(to: Path) -> dict[str, str]:
    """Names of the imported bags of a folder by the hash of what they came from."""
    found = {}
    for metadata in sorted(to.glob(f"*/{FILE_NAME}")):
        try:
            episode = from_custom_data(read_metadata(metadata.parent).custom_data, str(metadata))
        except ValueError:
            continue  # some other bag
        sha256 = episode.parameters.get(SOURCE, {}).get(HASH_KEY)
        if isinstance(sha256, str):
            found[sha256] = metadata.parent.name
    return found


def _work(given: argparse.Namespace) -> int:
    for flag in ("rate_hz", "force_scale"):
        value = getattr(given, flag)
        if value is not None and not 0.0 < abs(value) < 1e6:
            raise ValueError(f"expected --{flag.replace('_', '-')} to be a number other than 0, got {value:g}")
    if given.rate_hz is not None and given.rate_hz < 0.0:
        raise ValueError(f"expected --rate-hz above 0, got {given.rate_hz:g}")
    options = Options(
        rate_hz=given.rate_hz,
        force_last=given.force_channel == "last",
        force_scale=given.force_scale,
        force_zero=given.force_zero,
        sensor_offset_s=given.sensor_offset_s,
        camera_offset_s=given.camera_offset_s,
        tool_frame=given.command_frame == "tool",
        instruction=given.instruction,
        outcome=given.outcome,
    )
    try:
        tally = import_all(given.recordings, given.to, options)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise ValueError(
                f"no space left for bags in {given.to}: {error.strerror}; the bags that were finished stay; make space "
                "and run the same command again to go on"
            ) from error
        raise
    print(
        f"imported {len(tally.added)} episodes into {given.to}; {tally.there} were there already; "
        f"{len(tally.problems)} problems"
    )
    for problem in tally.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if tally.problems else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("import", "Import other recordings as bags; `preprocess` then adds the bags to a store.")
    parser.add_argument("recordings", nargs="+", type=Path, help="recordings, or folders of recordings")
    parser.add_argument("--to", type=Path, required=True, help="folder for the bags, one per episode")
    parser.add_argument("--instruction", default="", help="for episodes that carry none")
    parser.add_argument("--outcome", choices=get_args(Outcome), default="unknown", help="of episodes that carry none")
    parser.add_argument("--rate-hz", type=float, help="of rows that have no times (10, or what the file says)")
    parser.add_argument(
        "--force-channel",
        choices=("first", "last"),
        default="first",
        help="where the force is in blocks of 1026 (first)",
    )
    parser.add_argument("--force-scale", type=float, help="N per sensor unit; without it forces stay in sensor units")
    parser.add_argument("--force-zero", type=float, default=0.0, help="sensor units of no force (0)")
    parser.add_argument("--sensor-offset-s", type=float, help="receiver's minus force sensor's clock, if they differ")
    parser.add_argument("--camera-offset-s", type=float, help="receiver's minus cameras' clock, if they differ")
    parser.add_argument(
        "--command-frame", choices=("tool", "base"), default="tool", help="axes of recorded motion commands (tool)"
    )
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
