"""What single rays see: the nearest surface, the lamp or a shadow on it, and its colour."""

from __future__ import annotations

import mujoco
import numpy as np

from insertion_vla_sim.rays_bounds import BoundedGeoms, Bounds, Grid, seen_from
from insertion_vla_sim.scene_copy import SceneCopy

SKY_RGB = np.array([0.72, 0.76, 0.80], np.float32)
MAX_DISTANCE_M = 3.0
SHADOW_SLACK_M = 2e-4
LIFT_M = 5e-5  # a blocker beyond the slack is higher than the point by more than this
# The renderer's own copy of the scene has the ground, what stands on it and what moves in groups of their own.
GROUND, STANDING, MOVING = 0, 1, 2
GROUND_ONLY = np.array([1, 0, 0, 0, 0, 0], np.uint8)
MOVING_ONLY = np.array([0, 0, 1, 0, 0, 0], np.uint8)
STILL_ONLY = np.array([1, 1, 0, 0, 0, 0], np.uint8)
EVERYTHING = np.array([1, 1, 1, 0, 0, 0], np.uint8)
GROUND_GEOMS = ("table", "mat")
LAMP_CELLS = 256
LAMP_CELL = 0.003  # tangent: about 2 mm on the table


class Tracer:
    """Rays into a copy of the scene as it was last shown; call `show` after each change.

    Attributes:
        lamp: where it is (3,) [m].
        moving: where what moves is.
        standing: where what stands on the ground is.
    """

    def __init__(self, scene: SceneCopy) -> None:
        self._scene = scene
        model = scene.model
        visible = np.flatnonzero(model.geom_group == 0)
        table, mat = (model.geom(name).id for name in GROUND_GEOMS)
        moves = model.body_weldid[model.geom_bodyid[visible]] != 0
        moving, standing = visible[moves], np.setdiff1d(visible[~moves], (table, mat))
        model.geom_group[moving], model.geom_group[standing] = MOVING, STANDING
        self._moving, self._standing = BoundedGeoms(model, moving), BoundedGeoms(model, standing)
        self._mat = BoundedGeoms(model, np.array([mat]))  # what is below the table is not seen
        self._lamp_grid = Grid((0.0, 0.0), LAMP_CELL, (LAMP_CELLS, LAMP_CELLS))
        self._layout: object = None

    def show(self) -> None:
        """The scene was shown anew: what may stand between the lamp and a point?"""
        data = self._scene.data
        if self._scene.drawn != self._layout:
            self._layout = self._scene.drawn
            self.lamp, ahead = np.array(data.light_xpos[0]), np.array(data.light_xdir[0])
            right = np.cross(ahead, (0.0, 1.0, 0.0))
            right /= np.linalg.norm(right)
            self._lamp_axes = np.column_stack([right, np.cross(ahead, right), ahead])
            self.standing = self._standing.bounds(data)
            self._still_height = np.maximum(self._heights(self.standing), self._heights(self._mat.bounds(data)))
        self.moving = self._moving.bounds(data)
        self._moving_height = self._heights(self.moving)

    def _heights(self, bounds: Bounds) -> np.ndarray:
        """Largest height [m] of anything towards each cell of the lamp's grid."""
        heights = np.full(self._lamp_grid.shape, -np.inf, np.float32)
        low, high = seen_from(self.lamp, self._lamp_axes, bounds)
        self._lamp_grid.mark(heights, low, high, bounds.corners[..., 2].max(axis=1))
        return heights

    def lamp_cells(self, points: np.ndarray) -> np.ndarray:
        """Flat index (n,) of the lamp's grid for points (n,3); -1 where the lamp does not look."""
        local = (points - self.lamp) @ self._lamp_axes
        seen = local[:, 2] > 1e-3
        column, row = self._lamp_grid.cells(local[:, :2] / np.where(seen, local[:, 2], 1.0)[:, None]).T
        return np.where(seen, row * LAMP_CELLS + column, -1)

    def shaded_by_moving(self, cells: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """Whether something that moves may shade points (n,) of these cells and heights [m]."""
        return _higher(self._moving_height, cells, heights)

    def cast(self, origin: np.ndarray, rays: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, ...]:
        """Geoms (n,), -1 for none, distances (n,) and normals (n,3) of unit rays (n,3) from one point."""
        n = len(rays)
        geom, distance, normal = np.full(n, -1, np.int32), np.zeros(n), np.zeros((n, 3))
        if n:
            mujoco.mj_multiRay(
                self._scene.model, self._scene.data, origin, np.ascontiguousarray(rays).ravel(), groups, 1, -1,
                geom, distance, normal.ravel(), n, MAX_DISTANCE_M,
            )  # fmt: skip
        return geom, distance, normal

    def blocked(self, from_lamp: np.ndarray, reach: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Whether something stands between the lamp and points `reach` (n,) [m] along unit rays (n,3) from it."""
        n = len(from_lamp)
        blocker, distance = np.full(n, -1, np.int32), np.zeros(n)
        if n:
            mujoco.mj_multiRay(
                self._scene.model, self._scene.data, self.lamp, np.ascontiguousarray(from_lamp).ravel(), groups, 1, -1,
                blocker, distance, None, n, MAX_DISTANCE_M,
            )  # fmt: skip
        return (blocker >= 0) & (distance <= reach - SHADOW_SLACK_M)

    def to_lamp(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (n,3) and distances (n,) from points to the lamp."""
        to_lamp = self.lamp - points
        reach = np.sqrt(np.einsum("ij,ij->i", to_lamp, to_lamp))
        return to_lamp / reach[:, None], reach

    def lit(self, points: np.ndarray, to_lamp: np.ndarray, reach: np.ndarray, lambert: np.ndarray) -> np.ndarray:
        """Whether the lamp reaches each point (n,): it faces the lamp and nothing stands between."""
        lit = lambert > 0.0
        cells = self.lamp_cells(points)
        for height, groups in ((self._moving_height, MOVING_ONLY), (self._still_height, STILL_ONLY)):
            doubtful = np.flatnonzero(lit & _higher(height, cells, points[:, 2]))
            lit[doubtful] = ~self.blocked(-to_lamp[doubtful], reach[doubtful], groups)
        return lit

    def see(
        self, origin: np.ndarray, rays: np.ndarray, only_ground: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (n,3) f32, surface keys (n,) and normals (n,3) seen along unit rays (n,3) from one point.

        Rays of `only_ground` (n,) bool are known to meet nothing that moves or stands.
        """
        n = len(rays)
        geom, distance, normal = np.empty(n, np.int32), np.empty(n), np.empty((n, 3))
        for these, groups in ((only_ground, GROUND_ONLY), (~only_ground, EVERYTHING)):
            at = np.flatnonzero(these)
            geom[at], distance[at], normal[at] = self.cast(origin, rays.take(at, axis=0), groups)
        return self.finish(origin, rays, geom, distance, normal)

    def finish(
        self, origin: np.ndarray, rays: np.ndarray, geom: np.ndarray, distance: np.ndarray, normal: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `see`, of surfaces that were found."""
        hit = np.flatnonzero(geom >= 0)
        if len(hit) < len(geom):
            colour, key = np.tile(SKY_RGB, (len(rays), 1)), 2 * geom
            colour[hit], key[hit], _ = self.finish(origin, rays[hit], geom[hit], distance[hit], normal[hit])
            return colour, key, normal
        points = origin + rays * distance[:, None]
        to_lamp, reach = self.to_lamp(points)
        lambert = np.einsum("ij,ij->i", normal, to_lamp)
        lit = self.lit(points, to_lamp, reach, lambert)
        dark, lamp = self.shades(rays, normal, geom, to_lamp, lambert)
        lamp *= lit[:, None]
        return dark + lamp, 2 * geom + lit, normal

    def shades(
        self, rays: np.ndarray, normals: np.ndarray, geoms: np.ndarray, to_lamp: np.ndarray, lambert: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colours (n,3) f32 without the lamp (ambient and headlight), and what its light adds.

        The lamp adds Lambert's cosine and a small highlight.
        """
        model = self._scene.model
        rgb = model.geom_rgba[:, :3]
        own = rgb.take(geoms, axis=0)
        head = -np.einsum("ij,ij->i", normals, rays)
        # The highlight is where the normal halves the way from lamp to eye; all three vectors are of length one.
        across = np.sqrt(np.maximum(2.0 - 2.0 * np.einsum("ij,ij->i", to_lamp, rays), 1e-12))
        shine = _power_40((np.maximum(lambert + head, 0.0) / across).astype(np.float32))
        shine *= rgb.max(axis=1).take(geoms)  # black holes do not shine
        headlight = model.vis.headlight
        dark = np.outer(np.maximum(head, 0.0).astype(np.float32), np.float32(headlight.diffuse))
        dark += np.asarray(headlight.ambient, np.float32)
        dark *= own
        own *= np.maximum(lambert, 0.0).astype(np.float32)[:, None]
        own *= np.asarray(model.light_diffuse[0])
        own += np.outer(shine, model.light_specular[0])
        return dark, own


def _higher(heights: np.ndarray, cells: np.ndarray, points_m: np.ndarray) -> np.ndarray:
    # The lamp is above all: only what reaches higher than a point can shade it.
    return (heights.ravel().take(cells) > points_m + LIFT_M) | (cells < 0)


def _power_40(base: np.ndarray) -> np.ndarray:
    """base ** 40, the shininess, by squaring: many times as fast as the general power."""
    eighth = np.square(np.square(np.square(base)))
    return np.square(np.square(eighth)) * eighth
