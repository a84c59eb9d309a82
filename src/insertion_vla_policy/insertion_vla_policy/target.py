"""The named trocar as seen from the needle: a backbone's key points, lifted into space by the calibrated cameras.

What a calibrated camera knows is not learnt again from a few hundred scenes: an expert whose spec has `target` gets

    target (10,)      from the tip to the mouth (3) [m], of it what lies across the trocar's axis (3) and along it (1),
                      and the turn (3) that lays the needle along the axis [rotation vector]; all in base axes
    target_mask (1,)  False where fewer than two views show the trocar, or they disagree
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from insertion_vla_core.calibration import Calibration, load_calibration
from insertion_vla_core.geometry import Pose
from insertion_vla_core.observation import Window
from numpy.typing import NDArray

from insertion_vla_policy.experts.trocar_estimate import find_tube, pose_at
from insertion_vla_policy.experts.tube_fit import Tube
from insertion_vla_policy.protocol import Features

TARGET_CHANNELS = 10


class TargetFinder:
    """Finds the trocar in features; the newest answer is kept, as a fit takes milliseconds and features last.

    May be called from several threads: who asks while the fit is going on waits for its answer.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._lock = threading.Lock()
        self._stamps: tuple[int, ...] = ()
        self._tube: Tube | None = None

    def __call__(self, features: Features, poses: Window) -> Tube | None:
        """The trocar (base axes), or None; `poses` are rows of the tool's pose that reach back to the images."""
        with self._lock:
            if features.view_stamps_ns != self._stamps:
                self._tube = tube_of(features, self._calibration, *poses.valid())
                self._stamps = features.view_stamps_ns
            return self._tube


def load_finder(calibration: str | Path) -> TargetFinder:
    """A finder with the cameras of a calibration file; ValueError names what is wrong in it."""
    return TargetFinder(load_calibration(calibration))


def tube_of(
    features: Features, calibration: Calibration, stamps_ns: NDArray[np.int64], poses: NDArray[np.float64]
) -> Tube | None:
    """The trocar that features show, None if they do not; `poses` (n, 7) of the tool at stamps (n,) [ns]."""
    tube = find_tube(features, calibration, _flange_at(calibration, stamps_ns, poses))
    return None if isinstance(tube, str) else tube


def _flange_at(
    calibration: Calibration, stamps_ns: NDArray[np.int64], poses: NDArray[np.float64]
) -> Callable[[int], Pose | None]:
    flange_in_tool = calibration.tool.inverse()

    def flange_at(stamp_ns: int) -> Pose | None:
        tool = pose_at(stamps_ns, poses, stamp_ns)
        return None if tool is None else tool @ flange_in_tool

    return flange_at


def target_row(mouth: NDArray[np.float64], axis: NDArray[np.float64], tool: Pose) -> NDArray[np.float32]:
    """The input `target` (10,) of a trocar (mouth (3,) [m], unit axis (3,) into it) for a tool pose."""
    way = mouth - tool.position
    along = float(way @ axis)
    needle = tool.rotation[:, 2]
    turn = np.cross(needle, axis)
    sine = float(np.linalg.norm(turn))
    angle = float(np.arctan2(sine, needle @ axis))
    turn *= angle / sine if sine > 1e-9 else 1.0
    return np.concatenate([way, way - along * axis, [along], turn]).astype(np.float32)
