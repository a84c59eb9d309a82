"""Where a geom can be seen from a point: rectangles in the plane one metre ahead, from the corners of its box.

Used to leave out rays that cannot meet anything; a rectangle may be too large, never too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import mujoco
import numpy as np

MARGIN_M = 1e-5
NEAR_M = 1e-4  # what is nearer to the point than this plane is not seen
_CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))
_EDGES = np.array([(i, i ^ bit) for bit in (1, 2, 4) for i in range(8) if not i & bit]).T


@dataclass(frozen=True, eq=False)
class Bounds:
    """Boxes and balls around some geoms: corners (n,8,3), centres (n,3) [m] in the world, radii (n,) [m]."""

    corners: np.ndarray
    centres: np.ndarray
    radii: np.ndarray


class BoundedGeoms:
    """Some geoms of a model and how large they are."""

    def __init__(self, model: mujoco.MjModel, geoms: np.ndarray) -> None:
        self._geoms = geoms
        boxes = np.asarray(model.geom_aabb)[geoms]
        self._corners = boxes[:, None, :3] + _CORNERS * (boxes[:, None, 3:] + MARGIN_M)
        self._radii = np.asarray(model.geom_rbound)[geoms] + MARGIN_M

    def bounds(self, data: mujoco.MjData) -> Bounds:
        """Where they are now."""
        rotation, centres = data.geom_xmat[self._geoms].reshape(-1, 3, 3), data.geom_xpos[self._geoms]
        return Bounds(self._corners @ rotation.transpose(0, 2, 1) + centres[:, None], centres, self._radii)


def seen_from(point: np.ndarray, axes: np.ndarray, bounds: Bounds) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles: smallest (n,2) and largest (n,2) tangents in a frame at a point; wrong way round for what is behind.

    Args:
        point: (3,).
        axes: (3,3) columns right, down and ahead.
        bounds: of n geoms.
    """
    low, high = _of_boxes((bounds.corners - point) @ axes)
    low_ball, high_ball = _of_balls((bounds.centres - point) @ axes, bounds.radii[:, None])
    return np.maximum(low, low_ball), np.minimum(high, high_ball)


def _of_boxes(local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    here, there = local[:, _EDGES[0]], local[:, _EDGES[1]]
    # Where an edge comes through the plane just ahead of the point, it is cut off.
    before, after = here[..., 2] - NEAR_M, there[..., 2] - NEAR_M
    crossing = before * after < 0.0
    share = np.where(crossing, before / np.where(crossing, before - after, 1.0), 0.0)
    vertices = np.concatenate([local, here + share[..., None] * (there - here)], axis=1)
    visible = np.concatenate([local[..., 2] >= NEAR_M, crossing], axis=1)[..., None]
    tangents = vertices[..., :2] / np.maximum(vertices[..., 2:], NEAR_M)
    low = np.where(visible, tangents, np.inf).min(axis=1)
    return low, np.where(visible, tangents, -np.inf).max(axis=1)


def _of_balls(centres: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sideways, ahead = centres[:, :2], centres[:, 2:]
    distance = np.hypot(sideways, ahead)  # in the plane of one tangent and the direction ahead
    half = np.where(distance > radii, np.arcsin(np.minimum(radii / np.maximum(distance, NEAR_M), 1.0)), np.pi)
    middle = np.arctan2(sideways, ahead)
    return _tangent(middle - half), _tangent(middle + half)


def _tangent(angle: np.ndarray) -> np.ndarray:
    inside = np.abs(angle) < 0.5 * np.pi - NEAR_M
    return np.where(inside, np.tan(np.where(inside, angle, 0.0)), np.copysign(np.inf, angle))


class Grid:
    """A rectangle of the plane one metre ahead, in cells; what lies outside counts to the cells at its edge."""

    def __init__(self, centre: tuple[float, float], cell: float, shape: tuple[int, int]) -> None:
        """Args: centre: tangents of the middle; cell: size of one; shape: rows (down), columns (right)."""
        self.shape = shape
        self._cell = cell
        self._first = np.array(centre) - 0.5 * cell * np.array(shape[::-1])
        self._last = np.array(shape[::-1]) - 1

    def cells(self, tangents: np.ndarray) -> np.ndarray:
        """Column and row (..., 2) int of tangents (..., 2)."""
        return np.clip((tangents - self._first) / self._cell, 0, self._last).astype(np.int64)

    def mark(self, marks: np.ndarray, low: np.ndarray, high: np.ndarray, values: np.ndarray) -> None:
        """Raise `marks` (rows, columns) to at least the value of each rectangle in the cells that it touches."""
        there = np.flatnonzero((low <= high).all(axis=1))
        first, last = self.cells(low[there]).tolist(), self.cells(high[there]).tolist()
        for (left, top), (right, bottom), value in zip(first, last, values[there].tolist(), strict=True):
            part = marks[top : bottom + 1, left : right + 1]
            np.maximum(part, value, out=part)

    def touched(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """The cells (rows * columns,) bool that rectangles touch; those beside the grid touch none."""
        end = self._first + self._cell * (self._last + 1)
        there = ~((high < self._first).any(axis=1) | (low > end).any(axis=1))
        marks = np.zeros(self.shape, np.float32)
        self.mark(marks, low[there], high[there], np.ones(np.count_nonzero(there)))
        return marks.ravel() > 0.0
