"""Where to look for the hole when it is not where the eyes said: an Archimedean spiral across the axis."""

import numpy as np
from numpy.typing import NDArray

PITCH_M = 0.0008
SPACING_M = 0.0007
RADIUS_M = 0.0036


def _plane_points() -> NDArray[np.float64]:
    """(n, 2) points SPACING_M apart along a spiral whose turns are PITCH_M apart, out to RADIUS_M."""
    points, angle = [(0.0, 0.0)], 1.0
    while (radius := PITCH_M * angle / (2.0 * np.pi)) <= RADIUS_M:
        points.append((radius * np.cos(angle), radius * np.sin(angle)))
        angle += SPACING_M / max(radius, SPACING_M / 2.0)
    return np.array(points)


_POINTS = _plane_points()
SEARCH_POINTS = len(_POINTS)


def spiral(index: int, axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Offset [m] (3,) of a search point from the mouth, perpendicular to the axis; index 0 is the mouth itself."""
    helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    across = np.cross(axis, helper)
    across /= np.linalg.norm(across)
    return _POINTS[index, 0] * across + _POINTS[index, 1] * np.cross(axis, across)
