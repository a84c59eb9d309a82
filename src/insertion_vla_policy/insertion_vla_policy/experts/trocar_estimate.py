"""Where the named trocar is: key points of calibrated views, fitted to a tube and filtered over time."""

from collections import deque
from collections.abc import Callable

import numpy as np
from insertion_vla_core.calibration import Calibration
from insertion_vla_core.geometry import Pose, interpolate, matrix_from_quaternion
from numpy.typing import NDArray

from insertion_vla_policy.experts.tube_fit import Sighting, Tube, fit_tube
from insertion_vla_policy.protocol import Features

# Where the key points of `color_keypoints` sit on the lab's trocar: along the axis behind the mouth, off the axis [m].
KEY_POINTS = ((0.0, 0.0), (0.0085, 0.003))
PIXEL_SIGMA = (0.25, 0.6)  # error of each key point in its image [pixels]
SCENE_DISTANCE_M = 0.15  # only scales the pixel errors to metres
MIN_VIEWS = 2
MAX_RESIDUAL = 4.0
DOWN = np.array([0.0, 0.0, -1.0])


class TrocarEstimate:
    """Mouth (3,) [m] and axis (3,) (unit, pointing into the tube) in base axes, as the median of the newest fits.

    Both are NaN before the first fit.
    """

    def __init__(self, calibration: Calibration, memory: int = 5) -> None:
        self._calibration = calibration
        self._memory = memory
        self.clear()

    def clear(self) -> None:
        """Forgets everything, for a new goal."""
        self._mouths: deque[NDArray[np.float64]] = deque(maxlen=self._memory)
        self._axes: deque[NDArray[np.float64]] = deque(maxlen=self._memory)
        self.mouth = np.full(3, np.nan)
        self.axis = np.full(3, np.nan)
        self._newest_ns = 0
        self.why_not = "no features yet"

    def update(self, features: Features, flange_at: Callable[[int], Pose | None]) -> bool:
        """Takes one feature set in; False (and `why_not`) if it is old or does not give a tube.

        Args:
            features: Tokens of the colour key-point backbone.
            flange_at: Flange pose in base axes at a stamp [ns], None where it is not known.
        """
        if features.stamp_ns <= self._newest_ns:
            return False
        self._newest_ns = features.stamp_ns
        tube = find_tube(features, self._calibration, flange_at, self.axis if self.count else DOWN)
        if isinstance(tube, str):
            self.why_not = tube
            return False
        self._mouths.append(tube.mouth)
        self._axes.append(tube.axis)
        self.mouth = np.median(np.array(self._mouths), axis=0)
        axis = np.median(np.array(self._axes), axis=0)
        self.axis = axis / np.linalg.norm(axis)
        return True

    @property
    def count(self) -> int:
        """Fits in memory."""
        return len(self._mouths)

    @property
    def spread_m(self) -> float:
        """Largest distance of a remembered mouth from the median: large while the scene moves or views disagree."""
        return float(np.max(np.linalg.norm(np.array(self._mouths) - self.mouth, axis=1)))


def find_tube(
    features: Features,
    calibration: Calibration,
    flange_at: Callable[[int], Pose | None],
    axis: NDArray[np.float64] = DOWN,
) -> Tube | str:
    """The tube that the key points of one feature set show, or a sentence on why there is none.

    Args:
        features: tokens whose first columns are those of the colour key-point backbone.
        calibration: of the cameras.
        flange_at: flange pose in base axes at a stamp [ns], None where it is not known.
        axis: unit vector (3,) that the fit starts from.
    """
    sightings, views = _sightings(features, calibration, flange_at)
    if len(views) < MIN_VIEWS:
        return f"the trocar is seen in {len(views)} of {len(features.view_names)} views, {MIN_VIEWS} needed"
    tube = fit_tube(sightings, axis)
    if tube.residual > MAX_RESIDUAL:
        return f"the views disagree: {tube.residual:.1f} times the expected error"
    return tube


def _sightings(
    features: Features, calibration: Calibration, flange_at: Callable[[int], Pose | None]
) -> tuple[list[Sighting], set[str]]:
    sightings, views = [], set()
    for view_index, kind, u, v, confidence in features.tokens[:, :5]:
        if confidence <= 0.0 or int(kind) >= len(KEY_POINTS):
            continue
        name = features.view_names[int(view_index)]
        flange = flange_at(features.view_stamps_ns[int(view_index)])
        if flange is None:
            continue
        camera = calibration.cameras[name]
        origin, direction = camera.ray(u * camera.view.width - 0.5, v * camera.view.height - 0.5, flange)
        along, out = KEY_POINTS[int(kind)]
        sigma = PIXEL_SIGMA[int(kind)] / float(confidence) * SCENE_DISTANCE_M / camera.view.fx
        sightings.append(Sighting(origin, direction, along, out, sigma))
        views.add(name)
    return sightings, views


def pose_at(stamps_ns: NDArray[np.int64], rows: NDArray[np.float64], stamp_ns: int) -> Pose | None:
    """Pose of rows (n, 7) [m, quaternion xyzw], interpolated at a stamp; None outside the history."""
    after = int(np.searchsorted(stamps_ns, stamp_ns))
    if after == 0 or after == len(stamps_ns):
        return None
    before = after - 1
    share = (stamp_ns - stamps_ns[before]) / (stamps_ns[after] - stamps_ns[before])
    return interpolate(pose_from_row(rows[before]), pose_from_row(rows[after]), float(share))


def pose_from_row(row: NDArray[np.float64]) -> Pose:
    """Pose from x y z [m] and quaternion x y z w."""
    return Pose(np.array(row[:3], float), matrix_from_quaternion(np.array(row[3:7], float)))
