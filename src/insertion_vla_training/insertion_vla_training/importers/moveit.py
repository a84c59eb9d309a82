"""MoveIt 2 trajectories, `traj_*.npz`: joints, their speeds, times, tool poses, and the pen's position and axis.

They hold no commands, only the states of a plan: no chunks are made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from insertion_vla_training.importers.clock import EPOCH_S, ORIGIN_S, check_rising
from insertion_vla_training.importers.episode import Episode, Found, Imported, Options, files_hash
from insertion_vla_training.importers.pen_states import PenStates, pen_contract, pen_entries
from insertion_vla_training.importers.safe_files import Layout, read_npz

WANTED = {
    "joint_positions": Layout("f", (None, 6)),
    "joint_velocities": Layout("f", (None, 6)),
    "timestamps": Layout("f", (None,)),
    "ee_poses_world": Layout("f", (None, 7)),
    "pen_position": Layout("f", (3,)),
    "pen_axis": Layout("f", (3,)),
}
RATE_HZ = 10.0  # of the contract; rows keep their own times


def matches(path: Path) -> bool:
    """Whether it is such a file, by its name."""
    return path.is_file() and path.name.startswith("traj_") and path.suffix == ".npz"


def episodes(paths: Sequence[Path], options: Options) -> Found:
    """One episode per file."""
    contract = pen_contract(options.rate_hz or RATE_HZ, ())
    return [
        Episode(path.stem, str(path), partial(files_hash, [path], path.parent), partial(_read, path, contract, options))
        for path in paths
    ], []


def _read(path: Path, contract: str, options: Options) -> Imported:
    arrays = {name: array.astype(np.float64) for name, array in read_npz(path, WANTED).items()}
    count = len(arrays["timestamps"])
    lengths = {name: len(arrays[name]) for name in WANTED if not name.startswith("pen_")}
    if len(set(lengths.values())) != 1 or count == 0:
        raise ValueError(f"{path}: expected as many rows in each array, got {lengths}; copy it again, or remove it")
    times = arrays["timestamps"]
    check_rising(f"{path}, timestamps", times)
    relative = not EPOCH_S[0] < times[0] < EPOCH_S[1]
    states = PenStates(
        times + ORIGIN_S - times[0] if relative else times,
        arrays["joint_positions"],
        arrays["joint_velocities"],
        arrays["ee_poses_world"],
        np.tile(arrays["pen_position"], (count, 1)),
        np.tile(arrays["pen_axis"], (count, 1)),
    )
    result = Imported(contract, options.instruction, options.outcome)
    result.parameters["times"] = "relative to 1 January 2000" if relative else "recorded"
    result.notes.append("States of a plan: no commands were recorded.")
    result.entries, result.problems = pen_entries(str(path), states)
    return result
