"""Temporal ensembling: where all chunks that still speak of now say that the tool should be, on average.

Zhao et al., "Learning fine-grained bimanual manipulation with low-cost hardware", 2023: the oldest weighs most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from insertion_vla_core.chunk_path import ChunkPath
from insertion_vla_core.geometry import Pose, apply_delta, pose_delta

DECAY = 0.1  # per chunk: of eight chunks the newest weighs half as much as the oldest


def mean_motion(paths: Sequence[ChunkPath], path_ns: int) -> tuple[Pose, NDArray[np.float64]]:
    """Mean pose, and mean twist (6,) [m/s, rad/s], of paths at a path time.

    Args:
        paths: one or more, the newest first, none of them too old to be followed.
        path_ns: the same for all.
    """
    newest, mean_twist, _ = paths[0].at(path_ns)
    weights = [math.exp(DECAY * age) for age in range(len(paths))]
    delta, twist = np.zeros(6), weights[0] * mean_twist
    for weight, path in zip(weights[1:], paths[1:], strict=True):
        pose, velocity, _ = path.at(path_ns)
        delta += weight * pose_delta(newest, pose)
        twist = twist + weight * velocity
    total = sum(weights)
    return apply_delta(newest, delta / total), twist / total
