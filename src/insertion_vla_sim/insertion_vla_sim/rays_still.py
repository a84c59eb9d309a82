"""What a camera that stands still sees of what stands still is traced once; only what moves is traced anew.

Pixels are added to the memory when they are first asked for. A remembered surface keeps its colours with and without
the lamp, because the shadow of something that moves may fall on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insertion_vla_sim.rays_bounds import Grid, seen_from
from insertion_vla_sim.rays_trace import MOVING_ONLY, SKY_RGB, STILL_ONLY, Tracer


@dataclass(frozen=True, eq=False)
class _Still:
    """What pixels see of what stands still: colours, keys and normals; of those in the light their place and cells."""

    pixels: np.ndarray
    colour: np.ndarray
    key: np.ndarray
    normals: np.ndarray
    lit: np.ndarray
    cells: np.ndarray
    heights: np.ndarray


class StillView:
    """The memory of one camera, for one layout of the scene."""

    def __init__(self, tracer: Tracer, origin: np.ndarray, axes: np.ndarray, rays: np.ndarray, grid: Grid) -> None:
        """Begin with nothing remembered.

        Args:
            tracer: of the scene.
            origin: (3,) of the camera.
            axes: (3,3) columns right, down and ahead.
            rays: (n,3) unit rays through all pixels.
            grid: of the pixels, in the order of the rays.
        """
        n = len(rays)
        self._tracer, self._origin, self._axes, self._rays, self._grid = tracer, origin.copy(), axes.copy(), rays, grid
        self._lattice: _Still | None = None
        self._known = np.zeros(n, bool)
        self._geom, self._distance = np.full(n, -1, np.int32), np.full(n, np.inf)
        self._normal = np.zeros((n, 3), np.float32)
        self._dark, self._lamp = np.tile(SKY_RGB, (n, 1)), np.zeros((n, 3), np.float32)
        self._lit = np.zeros(n, bool)  # as far as things that stand still are concerned
        self._from_lamp, self._reach = np.zeros((n, 3)), np.zeros(n)
        self._cell, self._height = np.zeros(n, np.int64), np.zeros(n, np.float32)

    def show(self) -> None:
        """The scene was shown anew: in which pixels may something that moves be seen?"""
        self._moving = self._grid.touched(*seen_from(self._origin, self._axes, self._tracer.moving))

    def see(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (n,3) f32, surface keys (n,) and normals (n,3) of pixels (n,), flat indices into the rays.

        The same array of pixels given again in the next image is the quickest.
        """
        tracer, still = self._tracer, self._without_moving(pixels)
        colour, key, normals = still.colour.copy(), still.key.copy(), still.normals.copy()
        maybe = np.flatnonzero(self._moving.take(pixels))
        at = pixels.take(maybe)
        geom, distance, normal = tracer.cast(self._origin, self._rays.take(at, axis=0), MOVING_ONLY)
        nearer = (geom >= 0) & (distance < self._distance.take(at))
        front = maybe[nearer]
        in_front = np.zeros(len(pixels), bool)
        in_front[front] = True
        asked = still.lit[tracer.shaded_by_moving(still.cells, still.heights)]
        asked = asked[~in_front.take(asked)]
        at = pixels.take(asked)
        shaded = tracer.blocked(self._from_lamp.take(at, axis=0), self._reach.take(at), MOVING_ONLY)
        colour[asked[shaded]] = self._dark.take(at[shaded], axis=0)
        key[asked[shaded]] -= 1
        colour[front], key[front], normals[front] = tracer.finish(
            self._origin, self._rays.take(pixels[front], axis=0), geom[nearer], distance[nearer], normal[nearer]
        )
        return colour, key, normals

    def _without_moving(self, pixels: np.ndarray) -> _Still:
        """What would be seen if nothing moved."""
        if self._lattice is not None and self._lattice.pixels is pixels:
            return self._lattice
        self._remember(pixels[~self._known.take(pixels)])
        lit = self._lit.take(pixels)
        colour = self._lamp.take(pixels, axis=0)
        colour *= lit[:, None]
        colour += self._dark.take(pixels, axis=0)
        key = 2 * self._geom.take(pixels) + lit
        indices = np.flatnonzero(lit)
        at = pixels.take(indices)
        normals = self._normal.take(pixels, axis=0)
        still = _Still(pixels, colour, key, normals, indices, self._cell.take(at), self._height.take(at))
        self._lattice = self._lattice or still  # the lattice, which comes first, is asked for in every image
        return still

    def _remember(self, pixels: np.ndarray) -> None:
        if len(pixels) == 0:
            return
        tracer, rays = self._tracer, self._rays[pixels]
        self._known[pixels] = True
        geom, distance, normal = tracer.cast(self._origin, rays, STILL_ONLY)
        hit = geom >= 0
        at, rays, geom, distance, normal = pixels[hit], rays[hit], geom[hit], distance[hit], normal[hit]
        points = self._origin + rays * distance[:, None]
        to_lamp, reach = tracer.to_lamp(points)
        lambert = np.einsum("ij,ij->i", normal, to_lamp)
        facing = np.flatnonzero(lambert > 0.0)
        self._lit[at[facing]] = ~tracer.blocked(-to_lamp[facing], reach[facing], STILL_ONLY)
        self._geom[at], self._distance[at], self._normal[at] = geom, distance, normal
        self._dark[at], self._lamp[at] = tracer.shades(rays, normal, geom, to_lamp, lambert)
        self._from_lamp[at], self._reach[at] = -to_lamp, reach
        self._cell[at], self._height[at] = tracer.lamp_cells(points), points[:, 2]
