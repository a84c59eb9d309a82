"""Where the named trocar is, for every image set of an episode: found once per set, as the live node finds it.

    mouth (S, 3), axis (S, 3)   base axes [m]; NaN where the features do not show the trocar

The live node takes the tool's pose at an image from a 100 Hz window, this takes it from the recorded rows themselves:
the two agree to what the tool moves in a hundredth of a second.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from insertion_vla_core.calibration import load_calibration
from insertion_vla_policy.experts import trocar_estimate, tube_fit
from insertion_vla_policy.protocol import Features
from numpy.typing import NDArray

from insertion_vla_policy import target
from insertion_vla_training.caching.features import EpisodeFeatures
from insertion_vla_training.caching.index import file_of
from insertion_vla_training.caching.sets import ImageSets
from insertion_vla_training.caching.tensors import DamagedFile, TensorFile, write_tensors
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store

TARGETS = "targets"
CODE = (target, trocar_estimate, tube_fit)


def targets_of(
    store: Store,
    episode: Episode,
    sets: ImageSets,
    features: EpisodeFeatures,
    cache: str,
    calibration: Path,
    root: Path,
) -> TensorFile:
    """The targets of an episode, from the file where they are, else computed and kept.

    Args:
        store, episode, sets, features: of which they are.
        cache: name of the folder of the features.
        calibration: file of the cameras.
        root: folder of what is computed from the store.

    Raises:
        ValueError: the calibration cannot be read or lacks a view.
        OSError: the file cannot be written.
    """
    digest = hashlib.sha256(calibration.read_bytes()).hexdigest()
    path = file_of(root / TARGETS, episode, CODE, store.contract_hash, cache, digest)
    try:
        return TensorFile(path)
    except (FileNotFoundError, DamagedFile):
        mouths, axes = _found(store, episode, sets, features, calibration)
        write_tensors(path, {"mouth": mouths, "axis": axes}, {"episode": episode.name})
        return TensorFile(path)


def _found(
    store: Store, episode: Episode, sets: ImageSets, features: EpisodeFeatures, calibration: Path
) -> NDArray[np.float64]:
    """Mouth and axis (2, S, 3) of every image set."""
    cameras = load_calibration(calibration)
    if unknown := [view for view in sets.views if view not in cameras.cameras]:
        raise ValueError(f"expected the view '{unknown[0]}' in {calibration}, it has {', '.join(cameras.cameras)}")
    poses = store.stream("tool_pose", episode)
    found = np.full((2, len(sets), 3), np.nan)
    for index in range(len(sets)):
        seen = Features(
            tokens=np.asarray(features.tokens(index), np.float32),
            instruction=episode.instruction,
            view_names=sets.views,
            view_stamps_ns=tuple(sets.stamps[index].tolist()),
            model_id="",
            model_hash="",
            inference_s=0.0,
        )
        tube = target.tube_of(seen, cameras, poses.stamps, poses.values)
        if tube is not None:
            found[:, index] = tube.mouth, tube.axis
    return found
