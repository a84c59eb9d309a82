"""A store as a Zarr v2 data set of state-diffusion policies, at the control rate of its contract.

data/state (T, 25): joints, their speeds, tool pose, pen position, pen axis; data/action (T, 6); meta/episode_ends. What
the store does not have is NaN, never zero. Speeds that were not recorded are the backward difference of the joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from insertion_vla_core.contract import Stream
from numcodecs import Blosc
from numpy.typing import NDArray

from insertion_vla_training.exporters.control_grid import Run, number_streams
from insertion_vla_training.importers import messages
from insertion_vla_training.importers.pen_states import STATE_NAMES
from insertion_vla_training.stores.store import Store

ROWS_PER_CHUNK = 1000
PARTS = {  # columns of the state, and the type and field of the stream that they come from
    "joints": (slice(0, 6), messages.JOINTS, "position"),
    "speeds": (slice(6, 12), messages.JOINTS, "velocity"),
    "pose": (slice(12, 19), messages.POSE, "pose"),
    "pen_position": (slice(19, 22), messages.POINT, "point"),
    "pen_axis": (slice(22, 25), messages.VECTOR, "vector"),
}
ACTION_WIDTH = 6


def write_dp_zarr(store: Store, runs: Sequence[Run], folder: Path) -> dict[str, list[str]]:
    """Write the runs into an empty folder.

    Returns:
        Names of the columns that are missing (NaN) or derived.

    Raises:
        ValueError: the contract has no joints or fewer than six action channels.
    """
    action = store.contract.action
    sources = {part: _source(store, *wanted) for part, wanted in PARTS.items()}
    if sources["joints"] is None or len(action.channels) < ACTION_WIDTH:
        raise ValueError(
            f"expected six joint positions and {ACTION_WIDTH} action channels in the contract of {store.path}, it has "
            f"streams {', '.join(s.name for s in number_streams(store.contract))} and actions "
            f"{', '.join(action.channels)}; this format is for arms of six joints"
        )
    state = np.concatenate([_state(run, sources, action.dt_s) for run in runs]).astype(np.float32)
    actions = np.concatenate([run.actions[:, :ACTION_WIDTH] for run in runs]).astype(np.float32)
    ends = np.cumsum([len(run) for run in runs]).astype(np.int64)
    absent = [part for part, source in sources.items() if source is None]
    columns = {
        "missing": [name for part in absent if part != "speeds" for name in STATE_NAMES[PARTS[part][0]]],
        "derived": [name for part in absent if part == "speeds" for name in STATE_NAMES[PARTS[part][0]]],
    }
    attributes = {
        "rate_hz": 1.0 / action.dt_s,
        "state_names": list(STATE_NAMES),
        "action_names": list(action.channels[:ACTION_WIDTH]),
        "action_units": list(action.units[:ACTION_WIDTH]),
        "episodes": [run.episode.name for run in runs],
        **columns,
    }
    root = zarr.create_group(str(folder), attributes=attributes, zarr_format=2)
    _array(root, "data", "state", state)
    _array(root, "data", "action", actions)
    _array(root, "meta", "episode_ends", ends)
    return columns


def _source(store: Store, columns: slice, kind: str, field: str) -> Stream | None:
    for stream in number_streams(store.contract):
        if (stream.type, stream.field, stream.width) == (kind, field, columns.stop - columns.start):
            return stream
    return None


def _state(run: Run, sources: dict[str, Stream | None], dt_s: float) -> NDArray[np.float64]:
    state = np.full((len(run), len(STATE_NAMES)), np.nan)
    for part, source in sources.items():
        if source is not None:
            state[:, PARTS[part][0]] = run.values[source.name]
    if sources["speeds"] is None:
        # From the past alone; before the first row there is none.
        state[1:, PARTS["speeds"][0]] = np.diff(state[:, PARTS["joints"][0]], axis=0) / dt_s
    return state


def _array(root: zarr.Group, group: str, name: str, values: NDArray[Any]) -> None:
    array = root.require_group(group).create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(min(ROWS_PER_CHUNK, len(values)), *values.shape[1:]),
        compressors=Blosc(cname="zstd", clevel=5, shuffle=Blosc.BITSHUFFLE),
        # A chunk of zeros is written too: one that is missing must be recognised.
        config={"write_empty_chunks": True},
    )
    array[:] = values
