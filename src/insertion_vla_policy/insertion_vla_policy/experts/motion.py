"""Straight, speed-limited motion from a pose to a pose, as the rows of an action chunk."""

from dataclasses import dataclass

import numpy as np
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.geometry import Pose, pose_delta
from numpy.typing import NDArray

_SUBSTEPS = 10  # of one row, so that braking within a row is resolved


@dataclass(frozen=True)
class Speed:
    """Limits of one stretch of motion: [m/s], [rad/s] and the braking towards its end [m/s^2]."""

    linear: float
    angular: float = 0.3
    braking: float = 0.05


def rows_towards(start: Pose, goal: Pose, speed: Speed) -> NDArray[np.float64]:
    """Cumulative rows (HORIZON, 6) that lead from start to goal on one screw-free straight line.

    Position and rotation advance together, so the slower of the two sets the pace; the last row reached is kept.
    """
    delta = pose_delta(start, goal)
    distance, angle = float(np.linalg.norm(delta[:3])), float(np.linalg.norm(delta[3:]))
    # One path length for both: metres along the line, with the rotation expressed at the linear speed.
    length = max(distance, angle * speed.linear / speed.angular)
    if length < 1e-9:
        return np.zeros((HORIZON, 6))
    travelled, rows, step = 0.0, np.empty((HORIZON, 6)), DT_S / _SUBSTEPS
    for row in range(HORIZON):
        for _ in range(_SUBSTEPS):
            pace = min(speed.linear, np.sqrt(2.0 * speed.braking * (length - travelled)))
            travelled = min(length, travelled + pace * step)
        rows[row] = delta * (travelled / length)
    return rows
