"""Least-squares line of a tube through the rays of its key points.

A key point is a point of the tube known up to the tube's pose: `along` metres behind the mouth on the axis, and `out`
metres off the axis towards the camera that saw it. With M the mouth and a the axis, every ray should pass through
M + along * a + out * n, where n is the direction to that camera across the axis. n depends weakly on a, so the fit
alternates: n from the last axis, then M and a from a linear system. Rays that stay away are weighed down (Cauchy).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
LENGTH_SIGMA = 0.02  # of |a| = 1, which ties the rays' scale to the tube's known size


@dataclass(frozen=True, eq=False)
class Sighting:
    """One key point seen: a ray in base axes, where the point sits on the tube, and the ray's error there [m]."""

    origin: NDArray[np.float64]
    direction: NDArray[np.float64]
    along: float
    out: float
    sigma: float


@dataclass(frozen=True, eq=False)
class Tube:
    """Mouth [m] and unit axis into the tube, base axes; rms of the weighted distances of the rays in sigmas."""

    mouth: NDArray[np.float64]
    axis: NDArray[np.float64]
    residual: float


def fit_tube(sightings: list[Sighting], axis: NDArray[np.float64]) -> Tube:
    """Fits mouth and axis, starting from a guess of the axis (unit, into the tube). Needs sightings of two views."""
    origins = np.array([s.origin for s in sightings])
    directions = np.array([s.direction for s in sightings])
    along = np.array([s.along for s in sightings])
    out = np.array([s.out for s in sightings])
    sigma = np.array([s.sigma for s in sightings])
    projectors = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    mouth = nearest_point(origins, projectors)
    trust = np.ones(len(sightings))
    for _ in range(ROUNDS):
        to_camera = origins - mouth
        across = to_camera - (to_camera @ axis)[:, None] * axis
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        targets = origins - out[:, None] * across
        # Rows P (M + along a) = P target per ray, and one row a_old . a = 1.
        weight = (np.sqrt(trust) / sigma)[:, None, None]
        rows = np.concatenate([projectors, along[:, None, None] * projectors], axis=2) * weight
        right = np.einsum("nij,nj->ni", projectors, targets) * weight[:, :, 0]
        length = np.concatenate([np.zeros(3), axis / LENGTH_SIGMA])
        a = np.vstack([rows.reshape(-1, 6), length])
        b = np.append(right.ravel(), 1.0 / LENGTH_SIGMA)
        solution = np.linalg.lstsq(a, b, rcond=None)[0]
        mouth, axis = solution[:3], solution[3:] / np.linalg.norm(solution[3:])
        away = np.einsum("nij,nj->ni", projectors, mouth + along[:, None] * axis - targets)
        distance = np.linalg.norm(away, axis=1) / sigma
        trust = 1.0 / (1.0 + (distance / 2.0) ** 2)
    return Tube(mouth, axis, float(np.sqrt(np.average(distance**2, weights=trust))))


def nearest_point(origins: NDArray[np.float64], projectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The point [m] nearest to all rays, as the start of the fit."""
    return np.linalg.lstsq(projectors.sum(axis=0), np.einsum("nij,nj->i", projectors, origins), rcond=None)[0]
