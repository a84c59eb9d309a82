"""Zarr v2 data sets of state-diffusion policies: data/state (T, 25), data/action (T, 6), meta/episode_ends.

The files are checked before the library sees them: a filter or compressor can run code (numcodecs has one that
unpickles), and a chunk that is not there would be read as zeros.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from insertion_vla_training.importers import messages
from insertion_vla_training.importers.clock import DEFAULT_RATE_HZ, regular_s, to_ns
from insertion_vla_training.importers.contracts import JOINT_NAMES
from insertion_vla_training.importers.episode import Entry, Episode, Found, Imported, Options
from insertion_vla_training.importers.pen_states import STATE_NAMES, pen_contract, pen_entries, states_of

STATE, ACTION, ENDS = "data/state", "data/action", "meta/episode_ends"
COMPRESSORS = ("blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma")
MAX_BYTES = 1 << 36


def matches(path: Path) -> bool:
    """Whether it is a Zarr v2 folder."""
    return path.is_dir() and (path / ".zgroup").is_file()


def episodes(paths: Sequence[Path], options: Options) -> Found:
    """The episodes of data sets, named by data set and number."""
    found: list[Episode] = []
    problems: list[str] = []
    for path in paths:
        try:
            found += _episodes(path, options)
        except ValueError as error:
            problems.append(f"{path}: {error}")
    return found, problems


def _episodes(path: Path, options: Options) -> list[Episode]:
    lengths = {name: _checked(path, name)[0] for name in (STATE, ACTION)}
    _checked(path, ENDS)
    attributes = _json(path / ".zattrs") if (path / ".zattrs").exists() else {}
    group = zarr.open_group(str(path), mode="r", zarr_format=2)
    ends = _read(group, ENDS, slice(None)).astype(np.int64)
    total = lengths[STATE]
    if lengths[ACTION] != total:
        raise ValueError(f"expected as many actions as states, got {lengths[ACTION]} and {total}; copy it again")
    if len(ends) == 0 or ends[0] < 1 or (np.diff(ends) < 1).any() or ends[-1] != total:
        raise ValueError(
            f"expected {ENDS} to rise to the {total} rows, got {ends[:5].tolist()}... to "
            f"{int(ends[-1]) if len(ends) else 0}; copy it again"
        )
    rate_hz = options.rate_hz or attributes.get("rate_hz") or DEFAULT_RATE_HZ
    names = attributes.get("action_names") or JOINT_NAMES
    units = attributes.get("action_units") or ("rad",) * 6
    contract = pen_contract(float(rate_hz), names, units)
    found = []
    for number, (start, stop) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
        rows = slice(start, stop)
        name = f"{path.name.removesuffix('.zarr')}_{number:04d}"
        read = partial(_episode, path, group, rows, contract, float(rate_hz), options)
        found.append(Episode(name, f"{path} [{start}:{stop}]", partial(_hash, group, rows), read))
    return found


def _checked(path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array whose files are all there and safe to decode; raises ValueError otherwise."""
    folder = path / name
    if not (folder / ".zarray").is_file():
        raise ValueError(f"expected the array {name}, there is none; is it a data set of another kind?")
    head = _json(folder / ".zarray")
    if head.get("filters"):
        raise ValueError(f"{name} has filters, which may run code: they are never applied; write it without")
    compressor = head.get("compressor")
    if compressor is not None and (not isinstance(compressor, dict) or compressor.get("id") not in COMPRESSORS):
        raise ValueError(
            f"{name}: expected a compressor among {', '.join(COMPRESSORS)}, got {compressor}; write it anew"
        )
    try:
        dtype, shape, chunks = np.dtype(head["dtype"]), tuple(head["shape"]), tuple(head["chunks"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected the head of an array, got {error}; copy it again") from error
    wanted: dict[str, tuple[str, tuple[int | None, ...]]] = {
        STATE: ("f", (None, len(STATE_NAMES))),
        ACTION: ("f", (None, 6)),
        ENDS: ("iu", (None,)),
    }
    kinds, layout = wanted[name]
    sizes_fit = len(shape) == len(layout) == len(chunks) and all(
        isinstance(size, int) and size >= 0 and want in (None, size) for size, want in zip(shape, layout, strict=True)
    )
    if dtype.kind not in kinds or not sizes_fit or any(not isinstance(chunk, int) or chunk < 1 for chunk in chunks):
        wanted_text = " x ".join("T" if size is None else str(size) for size in layout)
        raise ValueError(f"{name}: expected {wanted_text} numbers, got {dtype} of shape {shape}; see docs/importing.md")
    if math.prod(shape) * dtype.itemsize > MAX_BYTES:
        raise ValueError(f"{name} claims {math.prod(shape) * dtype.itemsize} bytes; is its head damaged?")
    separator = head.get("dimension_separator", ".")
    grid = itertools.product(*(range(-(-size // chunk)) for size, chunk in zip(shape, chunks, strict=True)))
    absent = [key for key in (separator.join(map(str, place)) for place in grid) if not (folder / key).is_file()]
    if absent:
        raise ValueError(
            f"{name}: {len(absent)} of its files are missing (the first is {absent[0]}) and would be read as zeros; "
            "copy it again"
        )
    return shape


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON in {path.name}, got other text ({error}); copy it again") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected keys and values in {path.name}, got {type(values).__name__}; copy it again")
    return values


def _read(group: zarr.Group, name: str, rows: slice) -> NDArray[Any]:
    array: Any = group[name]
    try:
        return np.asarray(array[rows])
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"{name} is damaged ({error}); copy it again") from error


def _hash(group: zarr.Group, rows: slice) -> str:
    digest = hashlib.sha256()
    for name in (STATE, ACTION):
        digest.update(_read(group, name, rows).tobytes())
    return digest.hexdigest()


def _episode(path: Path, group: zarr.Group, rows: slice, contract: str, rate_hz: float, options: Options) -> Imported:
    place = f"{path} [{rows.start}:{rows.stop}]"
    state = _read(group, STATE, rows).astype(np.float64)
    action = _read(group, ACTION, rows).astype(np.float64)
    result = Imported(contract, options.instruction, options.outcome)
    states = states_of(state, regular_s(len(state), rate_hz))
    result.entries, result.problems = pen_entries(place, states)
    result.parameters |= {"times": "made", "rate_hz": rate_hz}
    result.notes.append(f"Rows have no time: they are taken as {1.0 / rate_hz:g} s apart.")
    if len(action) > 1 and np.array_equal(action, state[:, :6]) and np.ptp(action, axis=0).any():
        result.reasons.append("every action equals the joint angles of its own row: whoever learns it learns to copy")
    stamps = to_ns(states.times_s)
    usable = np.isfinite(action).all(axis=1) & np.isfinite(states.poses).all(axis=1)
    if not usable.all():
        result.problems.append(f"{place}: {int((~usable).sum())} actions hold no finite numbers; they are left out")
    for row in np.flatnonzero(usable):
        stamp = int(stamps[row])
        encode = partial(
            messages.chunk, stamp, int(row), states.poses[row], action[row : row + 1], 1.0 / rate_hz, path.name
        )
        result.entries.append(Entry(stamp, "action_expert/chunk", encode))
    return result
