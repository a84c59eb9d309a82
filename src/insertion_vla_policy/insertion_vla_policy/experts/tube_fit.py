"""Least-squares line of a tube through the rays of its key points.

A key point is a point of the tube known up to the tube's pose: `along` metres behind the mouth on the axis, and `out`
metres off the axis towards the camera that saw it. With M the mouth and a the axis, every ray should pass through
M + along * a + out * n, where n is the direction to that camera across the axis. n depends weakly on a, so a fit
alternates: n from the last axis, then M and a from a linear system.

One view may be wrong altogether (another tube, an occlusion). So the fit starts from the best of all views and each
choice that leaves one out, and then weighs rays down that stay away (Cauchy).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

START_ROUNDS, FIT_ROUNDS = 4, 6  # a start only has to be near
CONVERGED = 1e-5  # [rad] of the axis from one round to the next: 0.2 um at the length of a tube
LENGTH_SIGMA = 0.02  # of |a| = 1, which ties the rays' scale to the tube's known size
CAUCHY_SIGMAS = 2.0


@dataclass(frozen=True, eq=False)
class Sighting:
    """One key point seen: a ray in base axes, where the point sits on the tube, and the ray's error there [m]."""

    origin: Vector
    direction: Vector
    along: float
    out: float
    sigma: float


@dataclass(frozen=True, eq=False)
class Tube:
    """Mouth [m] and unit axis into the tube, base axes; rms of the weighted distances of the rays in sigmas."""

    mouth: Vector
    axis: Vector
    residual: float


def fit_tube(sightings: list[Sighting], axis: Vector) -> Tube:
    """Fits mouth and axis, starting from a guess of the axis (unit, into the tube). Needs sightings of two views."""
    rays = _Rays(sightings)
    starts = [rays.fit(weights, axis, START_ROUNDS) for weights in rays.choices()]
    mouth, axis = min(starts, key=lambda start: rays.cost(*start))
    for _ in range(2):
        trust = 1.0 / (1.0 + (rays.distances(mouth, axis) / CAUCHY_SIGMAS) ** 2)
        mouth, axis = rays.fit(trust, axis, FIT_ROUNDS)
    distance = rays.distances(mouth, axis)
    return Tube(mouth, axis, float(np.sqrt(np.average(distance**2, weights=trust))))


class _Rays:
    """The sightings as arrays over the rays."""

    def __init__(self, sightings: list[Sighting]) -> None:
        self.origins = np.array([s.origin for s in sightings])
        directions = np.array([s.direction for s in sightings])
        self.along = np.array([s.along for s in sightings])
        self.out = np.array([s.out for s in sightings])
        self.sigma = np.array([s.sigma for s in sightings])
        self.projectors = np.eye(3) - directions[:, :, None] * directions[:, None, :]

    def choices(self) -> list[Vector]:
        """Weights (n,) of all rays, and of all but those of one camera where at least two others remain."""
        cameras = np.unique(self.origins, axis=0)
        choices = [np.ones(len(self.origins))]
        if len(cameras) > 2:
            choices += [(self.origins != camera).any(axis=1).astype(float) for camera in cameras]
        return choices

    def targets(self, mouth: Vector, axis: Vector) -> tuple[NDArray[np.float64], Vector]:
        """Points (n, 3) of the rays shifted by `out`, so that they belong to the axis itself, and their sigmas (n,).

        Seen end on, the direction across the axis is vague, and so is a point off the axis: its sigma grows.
        """
        to_camera = self.origins - mouth
        across = to_camera - (to_camera @ axis)[:, None] * axis
        length = np.linalg.norm(across, axis=1, keepdims=True)
        sine = (length / np.linalg.norm(to_camera, axis=1, keepdims=True))[:, 0]
        sigma = np.where(self.out > 0.0, self.sigma / np.maximum(sine**2, 0.01), self.sigma)
        return self.origins - self.out[:, None] * across / np.maximum(length, 1e-9), sigma

    def fit(self, trust: Vector, axis: Vector, rounds: int) -> tuple[Vector, Vector]:
        """Mouth and axis by weighted least squares."""
        mouth = np.linalg.lstsq(
            np.einsum("n,nij->ij", trust, self.projectors),
            np.einsum("n,nij,nj->i", trust, self.projectors, self.origins),
            rcond=None,
        )[0]
        rows = np.concatenate([self.projectors, self.along[:, None, None] * self.projectors], axis=2)
        for _ in range(rounds):
            # Rows P (M + along a) = P target per ray, and one row axis . a = 1.
            targets, sigma = self.targets(mouth, axis)
            weight = (np.sqrt(trust) / sigma)[:, None]
            right = np.einsum("nij,nj->ni", self.projectors, targets) * weight
            left = np.vstack([(rows * weight[:, :, None]).reshape(-1, 6), np.append(np.zeros(3), axis / LENGTH_SIGMA)])
            solution = np.linalg.lstsq(left, np.append(right.ravel(), 1.0 / LENGTH_SIGMA), rcond=None)[0]
            before, mouth, axis = axis, solution[:3], solution[3:] / np.linalg.norm(solution[3:])
            if np.abs(axis - before).max() < CONVERGED:
                break
        return mouth, axis

    def distances(self, mouth: Vector, axis: Vector) -> Vector:
        """(n,) distance of each ray from its point of the tube, in sigmas."""
        targets, sigma = self.targets(mouth, axis)
        offset = mouth + self.along[:, None] * axis - targets
        return np.linalg.norm(np.einsum("nij,nj->ni", self.projectors, offset), axis=1) / sigma

    def cost(self, mouth: Vector, axis: Vector) -> float:
        """Cauchy cost: a ray far away costs little more than one that is just wrong."""
        return float(np.sum(np.log1p((self.distances(mouth, axis) / CAUCHY_SIGMAS) ** 2)))
