"""Measures of motion: how far a path is from another in space, and how smooth it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.evaluation.trace import Trace

Array = NDArray[np.float64]
STEP_M = 0.0005  # paths are compared at points this far apart along them
RATE_HZ = 100.0  # of traces
MOVING_M_S = 1e-4
# Balasubramanian et al., "A robust and sensitive metric for quantifying movement smoothness", 2012.
SPARC_PADDING, SPARC_CUTOFF_HZ, SPARC_THRESHOLD = 16, 10.0, 0.05


@dataclass(frozen=True)
class PathError:
    """Distances [m] and angles [rad] between two paths: median and 95th percentile over their length."""

    median_m: float
    p95_m: float
    median_rad: float
    p95_rad: float


def path_error(path: Trace, expert: Trace) -> PathError:
    """How far a path is from the expert's, whenever each of them passes there.

    Both are cut into points 0.5 mm apart along their length. For every point of either, the nearest place on the
    other path gives the distance between the tips and the angle between the needles; the roll about the needle does
    not count. Points of both go into the quantiles: to leave out a part of the expert's path is an error, too.
    """
    mine, theirs = (even_steps(trace.tips, trace.needles) for trace in (path, expert))
    there, back = nearest(*mine, *theirs), nearest(*theirs, *mine)
    distances, angles = np.concatenate([there[0], back[0]]), np.concatenate([there[1], back[1]])
    return PathError(
        *(float(value) for value in np.quantile(distances, [0.5, 0.95])),
        *(float(value) for value in np.quantile(angles, [0.5, 0.95])),
    )


def even_steps(tips: Array, needles: Array) -> tuple[Array, Array]:
    """Points (m, 3) and directions (m, 3) of a path (n, 3), STEP_M apart along it; both ends are kept."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(tips, axis=0), axis=1))])
    # A path that turns on the spot keeps its last direction there.
    last = np.append(np.diff(along) > 0.0, True)
    at = np.append(np.arange(0.0, along[-1], STEP_M), along[-1])
    points = np.column_stack([np.interp(at, along[last], tips[last, axis]) for axis in range(3)])
    directions = np.column_stack([np.interp(at, along[last], needles[last, axis]) for axis in range(3)])
    return points, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def nearest(points: Array, directions: Array, path: Array, along: Array) -> tuple[Array, Array]:
    """Distance [m] and angle [rad] (m,) of points to the nearest place on a path (n, 3) with directions (n, 3)."""
    if len(path) == 1:
        path, along = np.repeat(path, 2, axis=0), np.repeat(along, 2, axis=0)
    starts, ways = path[:-1], np.diff(path, axis=0)
    lengths = np.maximum(np.square(ways).sum(axis=1), 1e-18)
    away = points[:, None] - starts[None]
    share = np.clip(np.einsum("mnk,nk->mn", away, ways) / lengths, 0.0, 1.0)
    distances = np.linalg.norm(away - share[..., None] * ways, axis=2)
    best = distances.argmin(axis=1)
    rows = np.arange(len(points))
    here = share[rows, best][:, None]
    direction = (1.0 - here) * along[best] + here * along[best + 1]
    cosine = np.einsum("mk,mk->m", directions, direction) / np.linalg.norm(direction, axis=1)
    return distances[rows, best], np.arccos(np.clip(cosine, -1.0, 1.0))


def sparc(tips: Array) -> float | None:
    """Smoothness of a motion (n, 3) at RATE_HZ from its first to its last move: the spectral arc length of its speed.

    At most 0, nearer to it is smoother; it does not depend on how far or fast the motion is. None without motion.
    """
    speed = np.linalg.norm(np.diff(tips, axis=0), axis=1) * RATE_HZ
    moving = np.flatnonzero(speed > MOVING_M_S)
    if len(moving) < 2:
        return None
    speed = speed[moving[0] : moving[-1] + 1]
    size = SPARC_PADDING * 2 ** int(np.ceil(np.log2(len(speed))))
    spectrum = np.abs(np.fft.rfft(speed, size))
    frequency = np.fft.rfftfreq(size, 1.0 / RATE_HZ)
    spectrum = spectrum[frequency <= SPARC_CUTOFF_HZ] / spectrum[0]
    kept = np.flatnonzero(spectrum >= SPARC_THRESHOLD)
    spectrum = spectrum[: kept[-1] + 1]
    if len(spectrum) < 2:
        return None
    return -float(np.sqrt((1.0 / (len(spectrum) - 1)) ** 2 + np.square(np.diff(spectrum))).sum())
