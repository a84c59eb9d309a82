"""The lab's episode folders: old `recv_all_*` (also `data_collection_*`) and new `episode_*`.

old: ViewN/{left,right}/*.jpg, View5/*.jpg, robot_state_*.csv, sensor_data_*.npz
new: images/ViewN/*.jpg, robot_states.csv, sensor_data.npz, metadata.json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from insertion_vla_training.importers.camera_images import image_entries, view_files, view_sizes
from insertion_vla_training.importers.clock import check_overlap
from insertion_vla_training.importers.contracts import Size, lab_contract
from insertion_vla_training.importers.episode import Episode, Found, Imported, Options, files_hash
from insertion_vla_training.importers.force_npz import read_force_npz
from insertion_vla_training.importers.robot_csv import RobotRows, read_robot_csv
from insertion_vla_training.importers.safe_files import is_pickle

ROBOT_FILES, FORCE_FILES = ("robot_state_*.csv", "robot_states.csv"), ("sensor_data_*.npz", "sensor_data.npz")
PARTS = (*ROBOT_FILES, *FORCE_FILES, "View[0-9]*", "images/View[0-9]*", "data.pkl")
NAMES = ("recv_all_", "data_collection_", "episode_")
METADATA_BYTES = 1 << 20


def matches(path: Path) -> bool:
    """Whether it is such a folder: it has robot states, or its name and any other part of one."""
    if not path.is_dir():
        return False
    wanted = PARTS if path.name.startswith(NAMES) else ROBOT_FILES
    return any(next(path.glob(pattern), None) is not None for pattern in wanted)


def episodes(paths: Sequence[Path], options: Options) -> Found:
    """The episodes of folders; all get one contract, with every view that any of them has."""
    sizes: dict[str, Size] = {}
    for path in paths:
        sizes |= view_sizes(view_files(_images(path)))
    contract = lab_contract(sizes, options.force_scale is not None)
    return [
        Episode(path.name, str(path), partial(_hash, path), partial(_read, path, contract, options)) for path in paths
    ], []


def _images(path: Path) -> Path:
    return path / "images" if (path / "images").is_dir() else path


def _hash(path: Path) -> str:
    return files_hash((file for file in path.rglob("*") if file.is_file() and not file.is_symlink()), path)


def _read(path: Path, contract: str, options: Options) -> Imported:
    result = Imported(contract, options.instruction, options.outcome)
    for file in sorted(child for child in path.rglob("*") if child.is_file() and child.suffix != ".jpg"):
        if is_pickle(file):
            result.problems.append(f"{file} is a pickle and was not opened; the other files were imported")
    robot = read_robot_csv(_one(path, ROBOT_FILES, "robot states"))
    result.problems += robot.problems
    result.entries += robot.entries()
    result.parameters["robot_offset_s"] = robot.offset_s
    _add_metadata(path, result)
    _add_force(path, robot, options, result)
    _add_images(path, robot, options, result)
    return result


def _one(path: Path, patterns: tuple[str, ...], what: str) -> Path:
    found = sorted(file for pattern in patterns for file in path.glob(pattern))
    if len(found) != 1:
        raise ValueError(
            f"{path}: expected one file of {what} ({' or '.join(patterns)}), found {len(found)}; "
            f"{'copy the missing one' if not found else 'leave one'}, or remove the episode"
        )
    return found[0]


def _add_force(path: Path, robot: RobotRows, options: Options, result: Imported) -> None:
    if not any(file for pattern in FORCE_FILES for file in path.glob(pattern)):
        result.notes.append("No force was recorded.")
        return
    file = _one(path, FORCE_FILES, "the force sensor")
    rows = read_force_npz(file, options.force_last)
    recorded = result.parameters.get("recorded_sensor_offset_s")
    offset_s = options.sensor_offset_s if options.sensor_offset_s is not None else recorded or 0.0
    check_overlap(str(file), rows.stamps_s + offset_s, robot.receive_s[0], robot.receive_s[-1], "--sensor-offset-s")
    result.entries += rows.entries(offset_s, options)
    result.parameters["sensor_offset_s"] = offset_s
    result.parameters["force_channel"] = "last" if options.force_last else "first"
    if options.sensor_offset_s is None and recorded is None:
        result.notes.append("The force sensor's clock is taken as the receiver's.")


def _add_images(path: Path, robot: RobotRows, options: Options, result: Imported) -> None:
    views = view_files(_images(path))
    offset_s = options.camera_offset_s or 0.0
    entries, problems = image_entries(views, offset_s)
    result.problems += problems
    if not entries:
        result.notes.append("No images were recorded.")
        return
    for name, view in views.items():
        times = np.array([time_s for time_s, _ in view.files]) + offset_s
        if len(times):
            check_overlap(f"{path}, {name}", times, robot.receive_s[0], robot.receive_s[-1], "--camera-offset-s")
    result.entries += entries
    result.parameters["camera_offset_s"] = offset_s


def _add_metadata(path: Path, result: Imported) -> None:
    """What metadata.json says of the episode; a damaged one is reported and the rest imported."""
    file = path / "metadata.json"
    if not file.exists():
        return
    try:
        with file.open("rb") as stream:
            values = json.loads(stream.read(METADATA_BYTES))
        if not isinstance(values, dict):
            raise ValueError(f"expected keys and values, got {type(values).__name__}")
    except (ValueError, RecursionError) as error:
        result.problems.append(f"{file}: expected JSON ({error}); it is left out")
        return
    for key in ("instruction", "task"):
        if isinstance(values.get(key), str):
            result.instruction = values[key]
            break
    offset_s = values.get("sensor_clock_offset_s")
    if isinstance(offset_s, int | float):
        result.parameters["recorded_sensor_offset_s"] = float(offset_s)
