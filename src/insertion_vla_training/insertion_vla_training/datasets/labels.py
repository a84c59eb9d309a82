"""What a policy should have commanded at a tick: an action (8, 7) against the tool pose measured there.

Two sources of labels, chosen per store:

    chunks     the chunk that the expert of the episode planned at the tick: one sample per recorded chunk. The chunk is
               re-expressed against the measured pose where its own anchor is another one.
    commands   for teleoperation: the twists that the gate let through (arm/state), integrated from the measured pose
               over the horizon: one sample per step of the control rate at which the arm was HOLDing or moving and the
               commands have no gap. aux comes from the task's phase (task/state): 0 approach, 1 insert, 2 dwell and
               succeeded; ticks of other phases are no samples.

Measured poses after the tick are never a label.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.contract import Contract
from insertion_vla_core.geometry import Pose, apply_delta, exp_so3, matrix_from_quaternion, pose_delta
from insertion_vla_policy.inputs import ACTION_CHANNELS, action_target
from numpy.typing import NDArray

from insertion_vla_training.datasets.episodes import LabelSource
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.offline import regular_ticks
from insertion_vla_training.stores.store import Store

SAME_ANCHOR = 1e-9  # m and rad: what a quaternion loses on its way through a message
COMMAND_GAP_S = 0.15  # arm/state comes at 20 Hz
ARM_STATES = (1, 2, 3)  # HOLD, MOVING, SLOWED of ArmState
PHASE_AUX = {1: 0.0, 2: 1.0, 3: 2.0, 5: 2.0}  # APPROACH, INSERT, DWELL, SUCCEEDED of TaskState


class Labels(Protocol):
    """Ticks (n,) ns, rising, and the action of each."""

    ticks: NDArray[np.int64]

    def action(self, index: int, tool: Pose) -> NDArray[np.float32] | None:
        """(8, 7) against the measured tool pose; None where there is no label."""
        ...


def labels_of(store: Store, episode: Episode, source: LabelSource) -> Labels:
    """The labels of an episode.

    Raises:
        ValueError: the contract has other actions, or the episode was recorded without what the source needs.
    """
    check_action(store.contract)
    return ChunkLabels(store, episode) if source == "chunks" else CommandLabels(store, episode)


def check_action(contract: Contract) -> None:
    """Raises ValueError for a contract whose actions are not chunks of tool poses."""
    action = contract.action
    if (action.horizon, len(action.channels)) != (HORIZON, ACTION_CHANNELS) or abs(action.dt_s - DT_S) > 1e-9:
        raise ValueError(
            f"expected actions of {HORIZON} x {ACTION_CHANNELS} numbers {DT_S} s apart, contract '{contract.name}' has "
            f"{action.horizon} x {len(action.channels)}, {action.dt_s:g} s apart: leave this store out"
        )


class ChunkLabels:
    """See the module's docstring: chunks."""

    def __init__(self, store: Store, episode: Episode) -> None:
        chunks = store.chunks(episode)
        order = np.argsort(chunks["stamps"], kind="stable")
        self.ticks: NDArray[np.int64] = chunks["stamps"][order]
        self._data, self._anchors = chunks["data"][order], chunks["anchor"][order]

    def action(self, index: int, tool: Pose) -> NDArray[np.float32] | None:
        """See `Labels`."""
        data: NDArray[np.float32] = self._data[index]
        row = self._anchors[index]
        if not np.isfinite(data).all() or not np.isfinite(row).all():
            return None
        anchor = Pose(row[:3], matrix_from_quaternion(row[3:7]))
        if np.abs(pose_delta(tool, anchor)).max() <= SAME_ANCHOR:
            return data
        deltas = [pose_delta(tool, apply_delta(anchor, step[:6])) for step in data.astype(np.float64)]
        return action_target(np.array(deltas), data[:, 6])


class CommandLabels:
    """See the module's docstring: commands."""

    def __init__(self, store: Store, episode: Episode) -> None:
        self.ticks = np.array(regular_ticks(store, episode), np.int64)
        commands, task = store.commands(episode), store.task(episode)
        if len(commands.stamps) == 0 or len(task.stamps) == 0:
            raise ValueError(
                f"episode '{episode.name}' of {store.path}: expected arm/state and task/state for labels from "
                "commands, one of them was not recorded: use the label source 'chunks', or leave the store out"
            )
        order = np.argsort(commands.stamps, kind="stable")
        self._times, self._rows = commands.stamps[order], commands.values[order]
        order = np.argsort(task.stamps, kind="stable")
        self._task_times, self._phases = task.stamps[order], task.values[order, 0]

    def action(self, index: int, tool: Pose) -> NDArray[np.float32] | None:
        """See `Labels`."""
        start = int(self.ticks[index])
        steps = start + np.round(np.arange(HORIZON + 1) * DT_S * 1e9).astype(np.int64)
        first = int(np.searchsorted(self._times, start, side="right")) - 1
        end = int(np.searchsorted(self._times, steps[-1], side="left"))
        if first < 0 or end >= len(self._times):
            return None
        rows = self._rows[first:end]
        gaps = np.diff(self._times[first : end + 1])
        if gaps.max() > COMMAND_GAP_S * 1e9 or not np.isin(rows[:, 0], ARM_STATES).all():
            return None
        phases = self._phases[np.searchsorted(self._task_times, steps[1:], side="right") - 1]
        if self._task_times[0] > start or not all(phase in PHASE_AUX for phase in phases.tolist()):
            return None
        return action_target(
            np.array(self._integrated(tool, first, end, steps)), np.array([PHASE_AUX[int(phase)] for phase in phases])
        )

    def _integrated(self, tool: Pose, first: int, end: int, steps: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        """The delta (6,) at every step: each twist holds until the next one."""
        edges = np.unique(np.concatenate([steps, self._times[first + 1 : end]]))
        twists = self._rows[np.searchsorted(self._times, edges[:-1], side="right") - 1, 2:8]
        position, rotation, deltas = tool.position, tool.rotation, []
        for edge, twist, seconds in zip(edges[1:].tolist(), twists, np.diff(edges) * 1e-9, strict=True):
            position = position + twist[:3] * seconds
            rotation = exp_so3(twist[3:] * seconds) @ rotation
            if edge in steps:
                deltas.append(pose_delta(tool, Pose(position, rotation)))
        return deltas
