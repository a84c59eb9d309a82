"""HDF5 episodes: action, observations/{qpos, ee_pose, images/cameraN, sensor/{force, aline}}.

Images may also lie in /images and the sensor in /sensor. Rows have no usable time of their own (32-bit seconds since
1970 are 128 s apart): they are taken as evenly spaced, and so are the samples of the sensor over the same span.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from insertion_vla_core.aline import BINS
from numpy.typing import NDArray

from insertion_vla_training.importers import contracts, messages
from insertion_vla_training.importers.clock import DEFAULT_RATE_HZ, check_rising, regular_s, to_ns
from insertion_vla_training.importers.contracts import Size
from insertion_vla_training.importers.episode import Entry, Episode, Found, Imported, Options, files_hash
from insertion_vla_training.importers.force_npz import ForceRows
from insertion_vla_training.importers.motion_chunks import HORIZON, motion_chunks
from insertion_vla_training.importers.robot_csv import poses_from_mm_deg
from insertion_vla_training.importers.safe_files import Layout, check_layout, jpeg_size, refuse_pickle

SUFFIXES = (".h5", ".hdf5")
SENSOR_HZ = (300.0, 1300.0)


def matches(path: Path) -> bool:
    """Whether it is such a file, by its name."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def episodes(paths: Sequence[Path], options: Options) -> Found:
    """The episodes of files; all get one contract, with every camera and channel that any of them has."""
    found: list[Episode] = []
    problems: list[str] = []
    sizes: dict[str, Size] = {}
    width = 6
    readable = []
    for path in paths:
        try:
            with _opened(path) as file:
                sizes |= _sizes(file)
                width = max(width, _numbers(file, "action", Layout("f", (None, None))).shape[1])
            readable.append(path)
        except ValueError as error:
            problems.append(f"{path}: {error}")
    contract = _contract(sizes, options, min(width, 7))
    for path in readable:
        content = partial(files_hash, [path], path.parent)
        found.append(Episode(path.stem, str(path), content, partial(_read, path, contract, options)))
    return found, problems


def _contract(views: dict[str, Size], options: Options, width: int) -> str:
    rate_hz = options.rate_hz or DEFAULT_RATE_HZ
    channels = (*contracts.MOTION_CHANNELS, "aux")[:width]
    units = (*contracts.MOTION_UNITS, "1")[:width]
    return contracts.contract_text(
        "hdf5",
        [contracts.joints(rate_hz), contracts.tool_pose(rate_hz), contracts.force(options.force_scale is not None)],
        contracts.images(views, rate_hz, 1.5 / rate_hz),
        contracts.action(channels, units, HORIZON, 1.0 / rate_hz),
    )


def _opened(path: Path) -> h5py.File:
    refuse_pickle(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"expected an HDF5 file ({error}); copy it again, or remove it") from error


def _dataset(file: h5py.File, *names: str) -> h5py.Dataset | None:
    """The first of these datasets that is there; data in other files are never followed."""
    for name in names:
        place = file
        for part in name.split("/"):
            link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
            if link is None:
                break
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"'{name}' leads elsewhere; write the data into the file itself")
            place = place[part]
        else:
            if not isinstance(place, h5py.Dataset) or place.external or place.is_virtual:
                raise ValueError(f"expected '{name}' to be data in the file itself; write it anew")
            return place
    return None


def _numbers(file: h5py.File, name: str, layout: Layout) -> NDArray[np.float64]:
    found = _dataset(file, name)
    if found is None:
        raise ValueError(f"expected '{name}', there is none; is it a file of another recorder?")
    check_layout(name, found.dtype, found.shape, layout)
    try:
        return np.asarray(found[()], np.float64)
    except OSError as error:
        raise ValueError(f"'{name}' is damaged ({error}); copy the file again") from error


def _cameras(file: h5py.File) -> dict[str, h5py.Dataset]:
    for place in ("observations/images", "images"):
        group = file.get(place)
        if isinstance(group, h5py.Group):
            found = {name.lower(): _dataset(file, f"{place}/{name}") for name in sorted(group)}
            return {name: data for name, data in found.items() if data is not None}
    return {}


def _sizes(file: h5py.File) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for name, data in _cameras(file).items():
        if h5py.check_vlen_dtype(data.dtype) != np.uint8:
            raise ValueError(
                f"'{name}': expected JPEG images (bytes of any length), got {data.dtype} of shape {data.shape}; encode "
                "them first: images are imported as they are"
            )
        for row in range(len(data)):
            try:
                sizes[name] = jpeg_size(bytes(data[row]))
                break
            except ValueError:
                continue  # `_add_images` reports it
    return sizes


def _read(path: Path, contract: str, options: Options) -> Imported:
    result = Imported(contract, options.instruction, options.outcome)
    with _opened(path) as file:
        joints = _numbers(file, "observations/qpos", Layout("f", (None, 6)))
        poses = _numbers(file, "observations/ee_pose", Layout("f", (len(joints), 6)))
        commands = _numbers(file, "action", Layout("f", (len(joints), None)))
        if commands.shape[1] not in (6, 7):
            raise ValueError(f"{path}, 'action': expected 6 or 7 numbers a row, got {commands.shape[1]}")
        times = _times(path, file, len(joints), options, result)
        _add_robot(path, times, joints, poses, commands, options, result)
        _add_images(path, file, times, result)
        _add_force(path, file, times, options, result)
    return result


def _times(path: Path, file: h5py.File, count: int, options: Options, result: Imported) -> NDArray[np.float64]:
    recorded = _dataset(file, "timestamp", "observations/timestamp")
    if recorded is not None and recorded.dtype == np.float64 and recorded.shape == (count,):
        times = np.asarray(recorded[()], np.float64)
        check_rising(f"{path}, timestamp", times)
        result.parameters["times"] = "recorded"
        return times
    rate_hz = options.rate_hz or DEFAULT_RATE_HZ
    result.parameters |= {"times": "made", "rate_hz": rate_hz}
    result.notes.append(f"Rows have no usable time: they are taken as {1.0 / rate_hz:g} s apart.")
    return regular_s(count, rate_hz)


def _add_robot(
    path: Path,
    times: NDArray[np.float64],
    joints: NDArray[np.float64],
    poses: NDArray[np.float64],
    commands: NDArray[np.float64],
    options: Options,
    result: Imported,
) -> None:
    known = np.any(poses != 0.0, axis=1) & np.isfinite(poses).all(axis=1) & np.isfinite(joints).all(axis=1)
    if not known.all():
        result.problems.append(
            f"{path}: {int((~known).sum())} of {len(known)} rows hold zeros or no numbers for a robot that was not "
            "read; they are left out"
        )
    if not known.any():
        raise ValueError(f"{path}: expected robot states, got none that can be used; remove the file")
    found = poses_from_mm_deg(np.where(known[:, None], poses, 0.0))
    stamps = to_ns(times)
    for row in np.flatnonzero(known).tolist():
        stamp = int(stamps[row])
        position = np.radians(joints[row])
        encode = partial(messages.joint_state, stamp, contracts.JOINT_NAMES, position)
        result.entries.append(Entry(stamp, "joint_states", encode))
        result.entries.append(Entry(stamp, "tool_pose", partial(messages.pose, stamp, found[row])))
    if not np.isfinite(commands).all():
        result.problems.append(f"{path}: some commands are no numbers; chunks with them are left out")
    period_s = float(np.median(np.diff(times))) if len(times) > 1 else 1.0 / DEFAULT_RATE_HZ
    for row, chunk in enumerate(motion_chunks(found, np.nan_to_num(commands), options.tool_frame)):
        if known[row] and np.isfinite(commands[row : row + HORIZON]).all():
            stamp = int(stamps[row])
            encode = partial(messages.chunk, stamp, row, found[row], chunk, period_s, path.stem)
            result.entries.append(Entry(stamp, "action_expert/chunk", encode))
    result.parameters["commands"] = "steps in axes of the tool" if options.tool_frame else "steps in axes of the base"


def _add_images(path: Path, file: h5py.File, times: NDArray[np.float64], result: Imported) -> None:
    stamps = to_ns(times)
    for name, data in _cameras(file).items():
        if data.shape != (len(times),):
            result.problems.append(
                f"{path}, '{name}': expected {len(times)} images, one a row, got {data.shape}; it is left out"
            )
            continue
        wrong = 0
        for row, stamp in enumerate(stamps.tolist()):
            jpeg = bytes(data[row])
            try:
                jpeg_size(jpeg)
            except ValueError:
                wrong += 1
                continue
            encode = partial(messages.image, stamp, jpeg)
            result.entries.append(Entry(stamp, f"{name}/image_raw/compressed", encode))
        if wrong:
            result.problems.append(f"{path}, '{name}': {wrong} images are no whole JPEG; they are left out")


def _add_force(path: Path, file: h5py.File, times: NDArray[np.float64], options: Options, result: Imported) -> None:
    places = ("observations/sensor", "sensor")
    force = _dataset(file, *(f"{place}/force" for place in places))
    alines: Any = _dataset(file, *(f"{place}/aline" for place in places))
    if force is None:
        result.notes.append("No force was recorded.")
        return
    check_layout("sensor/force", force.dtype, force.shape, Layout("f", (None,)))
    count, steps = len(force), len(times)
    if alines is not None:
        check_layout("sensor/aline", alines.dtype, alines.shape, Layout("f", (count, BINS)))
        alines = np.asarray(alines[()], np.float32)
    span_s = (times[-1] - times[0]) * steps / max(1, steps - 1)
    rate_hz = count / span_s if span_s > 0 else 0.0
    if count == steps:
        stamps = times
    elif SENSOR_HZ[0] <= rate_hz <= SENSOR_HZ[1]:
        stamps = times[0] + (np.arange(count) + 1) / rate_hz
    else:
        result.problems.append(
            f"{path}, 'sensor/force': expected {SENSOR_HZ[0]:.0f} to {SENSOR_HZ[1]:.0f} samples/s, {count} over "
            f"{span_s:.1f} s are {rate_hz:.0f}; it is left out; is --rate-hz right?"
        )
        return
    values = np.asarray(force[()], np.float32)
    result.entries += ForceRows(stamps, stamps, values, alines).entries(0.0, options)
    result.parameters["force_times"] = "one a row" if count == steps else f"evenly spread, {rate_hz:.1f} Hz"
