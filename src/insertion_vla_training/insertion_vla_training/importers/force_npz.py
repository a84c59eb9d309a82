"""Force and A-lines of the lab's npz files, with a stamp for every sample.

Two layouts: samples one by one (`timestamps`, `send_timestamps`, `forces`, `alines`), and windows of 650 samples whose
stamp is that of their newest sample (`timestamps`, `data`). Windows were cut every 0.2 s and overlap: each sample is
taken once. The samples that a window adds are spread evenly between the stamps of the window before and its own; those
of a window that follows on nothing lie 1/650 s apart, and never before the window in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from insertion_vla_core.aline import BINS
from numpy.typing import NDArray

from insertion_vla_training.importers import messages
from insertion_vla_training.importers.clock import check_rising, to_ns
from insertion_vla_training.importers.episode import Entry, Options
from insertion_vla_training.importers.safe_files import Layout, check_layout, npz_member, npz_names, read_npz

WINDOW, CHANNELS, RATE_HZ = 650, BINS + 1, 650.0
BLOCK = 10  # samples of a message, as the force sensor's node sends them
OLD = ("timestamps", "forces")


@dataclass(frozen=True, eq=False)
class ForceRows:
    """Samples on the sensor's clock.

    Attributes:
        stamps_s: (n,) when measured.
        send_s: (n,) when sent; the stamps where that is not recorded.
        force: (n,) sensor units.
        alines: (n, 1025) sensor units, or None.
    """

    stamps_s: NDArray[np.float64]
    send_s: NDArray[np.float64]
    force: NDArray[np.float32]
    alines: NDArray[np.float32] | None

    def entries(self, offset_s: float, options: Options) -> list[Entry]:
        """Messages of ten samples, received when the newest of them was sent, as the live node's are."""
        stamps, sent = to_ns(self.stamps_s + offset_s), to_ns(self.send_s + offset_s)
        newtons = np.full(len(self.force), np.nan)
        if options.force_scale is not None:
            newtons = (self.force.astype(np.float64) - options.force_zero) * options.force_scale
        found = []
        for start in range(0, len(stamps), BLOCK):
            block = slice(start, min(start + BLOCK, len(stamps)))
            lines = None if self.alines is None else self.alines[block]
            encode = partial(
                messages.force_samples, stamps[block], sent[block], self.force[block], newtons[block], lines, block.stop
            )
            found.append(Entry(int(sent[block].max()), "force/samples", encode))
        return found


def read_force_npz(path: Path, force_last: bool) -> ForceRows:
    """Read either layout; `force_last`: the force is the last channel of a window, not the first.

    Raises:
        ValueError: it is cut off, of another layout, or the sensor's clock was set back.
    """
    names = npz_names(path)
    if "data" in names and "timestamps" in names:
        rows = _windows(path, force_last)
    elif set(OLD) <= set(names):
        rows = _samples(path, names)
    else:
        raise ValueError(
            f"{path}: expected arrays timestamps, send_timestamps, forces, alines, or timestamps, data; got "
            f"{', '.join(names) or 'none'}; is it a file of another recorder?"
        )
    if len(rows.stamps_s) == 0:
        raise ValueError(f"{path}: expected samples, got none; remove the file to import the episode without force")
    return rows


def _samples(path: Path, names: list[str]) -> ForceRows:
    wanted = {"timestamps": Layout("f", (None,)), "forces": Layout("f", (None,))}
    if "send_timestamps" in names:
        wanted["send_timestamps"] = Layout("f", (None,))
    if "alines" in names:
        wanted["alines"] = Layout("f", (None, BINS))
    arrays = read_npz(path, wanted)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{path}: expected arrays of equal length, got {lengths}; copy it again, or remove it")
    stamps = arrays["timestamps"].astype(np.float64)
    check_rising(f"{path}, timestamps", stamps)
    sent = np.maximum(arrays.get("send_timestamps", stamps).astype(np.float64), stamps)
    check_rising(f"{path}, send_timestamps", sent)
    alines = arrays.get("alines")
    force = arrays["forces"].astype(np.float32)
    return ForceRows(stamps, sent, force, None if alines is None else alines.astype(np.float32, copy=False))


def _windows(path: Path, force_last: bool) -> ForceRows:
    times = read_npz(path, {"timestamps": Layout("f", (None,))})["timestamps"].astype(np.float64)
    check_rising(f"{path}, timestamps", times)
    stamps: list[NDArray[np.float64]] = []
    parts: list[NDArray[np.float32]] = []
    with npz_member(path, "data") as (head, stream):
        check_layout("data", head.dtype, head.shape, Layout("f", (len(times), WINDOW, CHANNELS)))
        size = WINDOW * CHANNELS * head.dtype.itemsize
        before: list[int] = []
        for number, time_s in enumerate(times.tolist()):
            data = stream.read(size)
            if len(data) != size:
                raise ValueError(f"'data' ends within window {number}; copy it again")
            window = np.frombuffer(data, head.dtype).reshape(WINDOW, CHANNELS).astype(np.float32)
            keys = [hash(row.tobytes()) for row in window]
            added = _added(before, keys)
            last_s = times[number - 1] if number else -np.inf
            stamps.append(_stamps(added, last_s, time_s))
            parts.append(window[WINDOW - added :])
            before = keys
    rows = np.concatenate(parts) if parts else np.zeros((0, CHANNELS), np.float32)
    stamps_s = np.concatenate(stamps) if stamps else np.zeros(0)
    force, alines = (rows[:, -1], rows[:, :-1]) if force_last else (rows[:, 0], rows[:, 1:])
    return ForceRows(stamps_s, stamps_s, force, alines)


def _added(before: list[int], keys: list[int]) -> int:
    """How many of a window's samples the window before does not have."""
    for shift in range(WINDOW if before else 0):
        if before[shift] == keys[0] and before[shift:] == keys[: WINDOW - shift]:
            return shift
    return WINDOW


def _stamps(added: int, last_s: float, time_s: float) -> NDArray[np.float64]:
    """Stamps of the samples that a window adds, the newest at `time_s`."""
    if added < WINDOW:
        step_s = (time_s - last_s) / max(added, 1)
    else:
        step_s = min(1.0 / RATE_HZ, (time_s - last_s) / added)
    return np.asarray(time_s - np.arange(added - 1, -1, -1) * step_s)
