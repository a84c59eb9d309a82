"""Recordings among the paths of a command line: which format, and which episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from insertion_vla_training.importers import dp_zarr, hdf5, lab_folder, lerobot, moveit
from insertion_vla_training.importers.episode import Found, Options
from insertion_vla_training.importers.safe_files import is_pickle


@dataclass(frozen=True)
class Format:
    """A format: its name, how it is recognised, and its episodes at some places."""

    name: str
    matches: Callable[[Path], bool]
    episodes: Callable[[Sequence[Path], Options], Found]


FORMATS = (
    Format("Zarr with data/state and data/action", dp_zarr.matches, dp_zarr.episodes),
    Format("LeRobot dataset", lerobot.matches, lerobot.episodes),
    Format("lab folder (recv_all_*, episode_*)", lab_folder.matches, lab_folder.episodes),
    Format("HDF5", hdf5.matches, hdf5.episodes),
    Format("MoveIt trajectory (traj_*.npz)", moveit.matches, moveit.episodes),
)


def find_episodes(paths: Sequence[Path], options: Options) -> Found:
    """The episodes at and below the paths, and why others cannot be imported.

    Raises:
        ValueError: a path is not there.
    """
    places: dict[str, list[Path]] = {}
    problems: list[str] = []
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise ValueError(f"expected a recording to import, there is no {path}")
        if not _search(path, places, problems, seen):
            known = "; ".join(known.name for known in FORMATS)
            problems.append(f"{path}: expected one of the known recordings ({known}), found none; name another path")
    found = []
    for kind in FORMATS:
        if kind.name in places:
            episodes, wrong = kind.episodes(places[kind.name], options)
            found += episodes
            problems += wrong
    return found, problems


def _search(path: Path, places: dict[str, list[Path]], problems: list[str], seen: set[Path]) -> bool:
    """Sort a path, or what lies below it, into the places of its format; False if there is nothing."""
    if path.resolve() in seen:
        return True  # named twice, or a link in a circle
    seen.add(path.resolve())
    for known in FORMATS:
        if known.matches(path):
            places.setdefault(known.name, []).append(path)
            return True
    if path.is_dir():
        children = sorted(child for child in path.iterdir() if not child.name.startswith("."))
        return any([_search(child, places, problems, seen) for child in children])
    if path.is_file() and is_pickle(path):
        problems.append(
            f"{path} is a pickle, which runs code when it is read: it is never opened; write its content anew as npz "
            "or HDF5 where it came from"
        )
        return True
    return False
