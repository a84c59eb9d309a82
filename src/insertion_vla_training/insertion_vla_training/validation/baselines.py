"""What every policy must beat: standing still, and going on as before.

The tool's twist is that of the last 100 ms of measured poses which had arrived at the tick.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.geometry import Pose, matrix_from_quaternion, pose_delta
from insertion_vla_policy.inputs import ACTION_CHANNELS
from numpy.typing import NDArray

from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.stores.store import Store
from insertion_vla_training.stores.stored_rows import StreamRows

BACK_NS = 100_000_000


def constant_twist(samples: TrainingSet, indices: Sequence[int]) -> NDArray[np.float64]:
    """Actions (N, 8, 7) that go on with the tool's twist; zero where nothing is known of it."""
    stores = [Store.open(source.store) for source in samples.sources]
    poses: dict[tuple[int, str], StreamRows] = {}
    actions = np.zeros((len(indices), HORIZON, ACTION_CHANNELS))
    times_s = DT_S * (np.arange(HORIZON) + 1.0)
    for row, index in enumerate(indices):
        each, tick = samples.place(index)
        key = (each.source, each.episode.name)
        if key not in poses:
            poses[key] = stores[each.source].stream("tool_pose", each.episode)
        twist = twist_at(poses[key], int(each.file.arrays["ticks"][tick]))
        actions[row, :, :6] = times_s[:, None] * twist
    return actions


def twist_at(rows: StreamRows, tick_ns: int) -> NDArray[np.float64]:
    """(6,) [m/s, rad/s], base axes."""
    known = (rows.receive <= tick_ns) & (rows.stamps <= tick_ns) & np.isfinite(rows.values).all(axis=1)
    stamps, values = rows.stamps[known], rows.values[known]
    order = np.argsort(stamps, kind="stable")
    stamps, values = stamps[order], values[order]
    if len(stamps) == 0:
        return np.zeros(6)
    before = int(np.searchsorted(stamps, stamps[-1] - BACK_NS, side="right")) - 1
    if before < 0 or stamps[before] == stamps[-1]:
        return np.zeros(6)
    then, now = (Pose(row[:3], matrix_from_quaternion(row[3:7])) for row in (values[before], values[-1]))
    twist: NDArray[np.float64] = pose_delta(then, now) / ((stamps[-1] - stamps[before]) * 1e-9)
    return twist
