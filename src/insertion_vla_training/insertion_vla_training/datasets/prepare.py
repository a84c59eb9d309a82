"""The samples of one episode, computed once: all inputs that do not depend on features, and the labels.

An episode is replayed through the live observation builder (offline.replay), so windows are those of the action_expert
node bit for bit: causal by stamp and by time of receipt. What is kept per sample is small (1 kB), and training maps it.

    ticks (n,)            ns, rising
    x.<input> (n, ...)    of insertion_vla_policy.inputs.sensor_inputs
    action (n, 8, 7)      against the tool pose measured at the tick
    tool (n, 7)           that pose [m, quaternion xyzw]
    newest_set (n,)       the newest image set that was ready at the tick, -1 for none
    motion (n, K, 6)      tool motion since the image sets newest_set, newest_set - 1, ...; motion_mask (n, K)
    recorded_age (n,)     ns, see dataset_ages
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.contract import Contract
from insertion_vla_core.geometry import Pose, matrix_from_quaternion
from insertion_vla_core.observation import Missing, Observation
from insertion_vla_policy.inputs import MOTION_CHANNELS, InputSpec
from numpy.typing import NDArray

from insertion_vla_core import geometry, observation, ring, windows
from insertion_vla_policy import inputs
from insertion_vla_training.caching.index import SAMPLES, file_of
from insertion_vla_training.caching.sets import ImageSets
from insertion_vla_training.caching.tensors import DamagedFile, TensorFile, write_tensors
from insertion_vla_training.datasets import ages as dataset_ages
from insertion_vla_training.datasets import labels as dataset_labels
from insertion_vla_training.datasets.ages import recorded_ages
from insertion_vla_training.datasets.episodes import LabelSource
from insertion_vla_training.datasets.labels import labels_of
from insertion_vla_training.stores import offline
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.offline import replay
from insertion_vla_training.stores.store import Store

FEATURES, TOOL, INPUT = "features", "tool_pose", "x."
# What the samples are computed by: with other code they are others.
CODE = (offline, inputs, observation, ring, windows, geometry, dataset_labels, dataset_ages)


def features_max_age_s(contract: Contract) -> float:
    """How old features may be at a tick; raises ValueError for a contract without features."""
    for stream in contract.observations:
        if stream.payload and stream.name == FEATURES:
            return stream.max_age_s
    raise ValueError(f"expected the observation '{FEATURES}' in contract '{contract.name}', it has none: train without")


def prepared(
    store: Store, episode: Episode, spec: InputSpec, label: LabelSource, sets: ImageSets, root: Path
) -> TensorFile:
    """The samples of an episode, from the file where they are, else computed and kept.

    Raises:
        ValueError: the episode cannot give such inputs or labels.
        OSError: the file cannot be written.
    """
    # Features are drawn later, so samples serve any backbone.
    text = spec.model_copy(update={"feature_tokens": 0, "feature_dim": 0}).model_dump_json()
    code = (*CODE, sys.modules[__name__])
    path = file_of(root / SAMPLES, episode, code, store.contract_hash, text, label, *sets.views)
    try:
        return TensorFile(path)
    except (FileNotFoundError, DamagedFile):
        write_tensors(
            path, _samples(store, episode, spec, label, sets), {"episode": episode.name, "store": str(store.path)}
        )
        return TensorFile(path)


def _samples(
    store: Store, episode: Episode, spec: InputSpec, label: LabelSource, sets: ImageSets
) -> dict[str, NDArray[Any]]:
    labels = labels_of(store, episode, label)
    motions = _Motions(store.contract, sets, spec.pose_gap_s)
    kept: list[int] = []
    rows: dict[str, list[NDArray[Any]]] = {}
    for index, (_, seen) in enumerate(replay(store, episode, labels.ticks.tolist(), payloads=False)):
        if isinstance(seen, Missing):
            continue
        try:
            sample = {INPUT + name: array for name, array in inputs.sensor_inputs(seen, spec).items()}
        except Missing:
            continue
        tool = seen.streams[TOOL].values[-1]
        action = labels.action(index, Pose(tool[:3], matrix_from_quaternion(tool[3:7])))
        if action is None:
            continue
        for name, array in {**sample, "action": action, "tool": tool, **motions.of(seen)}.items():
            rows.setdefault(name, []).append(array)
        kept.append(index)
    ticks = labels.ticks[kept]
    recorded = np.full(len(ticks), -1, np.int64)
    if len(sets):
        recorded = recorded_ages(store, episode, FEATURES, ticks)
    return {"ticks": ticks, "recorded_age": recorded, **{name: np.stack(arrays) for name, arrays in rows.items()}}


class _Motions:
    """Tool motion from the image sets that a tick might use."""

    def __init__(self, contract: Contract, sets: ImageSets, pose_gap_s: float) -> None:
        self._sets, self._oldest, self._pose_gap_s = sets, sets.oldest, pose_gap_s
        self._max_age_ns = round(features_max_age_s(contract) * 1e9) if len(sets) else 0
        # As many as the fastest succession of sets puts into the greatest age.
        counts = np.arange(len(sets)) - np.searchsorted(self._oldest, self._oldest - self._max_age_ns)
        self._most = int(counts.max(initial=0)) + 2

    def of(self, seen: Observation) -> dict[str, NDArray[Any]]:
        newest = int(np.searchsorted(self._sets.ready, seen.stamp_ns, side="right")) - 1
        motion = np.zeros((self._most, MOTION_CHANNELS), np.float32)
        mask = np.zeros(self._most, bool)
        for back in range(min(self._most, newest + 1)):
            stamp = int(self._oldest[newest - back])
            if seen.stamp_ns - stamp > self._max_age_ns:
                continue
            moved = inputs.tool_motion(seen.streams[TOOL], stamp, self._pose_gap_s)
            if moved is not None:
                motion[back], mask[back] = moved, True
        return {"newest_set": np.array(newest), "motion": motion, "motion_mask": mask}
