"""Ray-cast camera images: Lambert shading with hard shadows from `mj_multiRay`, on any machine with a CPU.

A coarse lattice (every second pixel) is traced and shaded first. A pixel between lattice points that see the same
surface in the same light is interpolated; every other pixel, along outlines and shadow edges, is traced itself.
Outlines are therefore as sharp as with one ray per pixel, at a third of the cost. Cameras that stand still remember
what stands still, so that little more than what moves is traced in each of their images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from insertion_vla_sim.rays_bounds import Grid, seen_from
from insertion_vla_sim.rays_still import StillView
from insertion_vla_sim.rays_trace import Tracer
from insertion_vla_sim.scene_copy import SceneCopy

# Neighbours whose normals differ by more than about 20 degrees are not blended.
SAME_FACE_COSINE = 0.94
STILL_VIEWS = ("front", "side")
MUJOCO_TO_OPTICAL = np.array([1.0, -1.0, -1.0])  # MuJoCo looks along -z with y up

See = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


class RayRenderer:
    """Images of the views by ray casting; see `render.Renderer`."""

    backend = "rays"

    def __init__(self, xml: str, width: int, height: int) -> None:
        if width % 2 or height % 2:
            raise ValueError(f"the ray renderer needs an even width and height, got {width}x{height}")
        self._scene = SceneCopy(xml)
        self._tracer = Tracer(self._scene)
        self._width, self._height = width, height
        self._rays: dict[str, np.ndarray] = {}
        self._still: dict[str, StillView] = {}
        self._layout: tuple[int, str] | None = None
        # One extra row and column close the lattice beyond the image's edge.
        pixels = np.arange((height + 1) * (width + 1)).reshape(height + 1, width + 1)
        self._lattice_shape = pixels[::2, ::2].shape
        self._lattice, self._pixels = pixels[::2, ::2].ravel(), pixels[:height, :width]

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        """Image (height, width, 3) uint8 RGB of view `camera` for a `World.render_state()`."""
        self._scene.show(state)
        self._tracer.show()
        see = self._eye(camera)
        colour, key, normal = (a.reshape(*self._lattice_shape, -1) for a in see(self._lattice))
        image, known = _fill_between(colour, key[..., 0], normal)
        image, known = image[: self._height, : self._width], known[: self._height, : self._width]
        image[~known] = see(self._pixels[~known])[0]
        return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Nothing to give back."""

    def _eye(self, camera: str) -> See:
        """What gives the colours, keys and normals of a view's pixels."""
        data, cam = self._scene.data, self._scene.camera_id(camera)
        origin, axes = data.cam_xpos[cam], data.cam_xmat[cam].reshape(3, 3)
        own, optical = self._pixel_rays(camera).reshape(-1, 3), axes * MUJOCO_TO_OPTICAL
        # Rays of the extra row and column lie half a pixel beyond the middle of the grid.
        cell = self._pixel_size(camera)
        grid = Grid((0.5 * cell, 0.5 * cell), cell, (self._height + 1, self._width + 1))
        if camera not in STILL_VIEWS:
            rects = [seen_from(origin, optical, bounds) for bounds in (self._tracer.moving, self._tracer.standing)]
            ground = ~grid.touched(*map(np.concatenate, zip(*rects, strict=True)))
            return lambda pixels: self._tracer.see(origin, own.take(pixels, axis=0) @ axes.T, ground.take(pixels))
        if self._scene.drawn != self._layout:
            self._still, self._layout = {}, self._scene.drawn
        if camera not in self._still:
            self._still[camera] = StillView(self._tracer, origin, optical, own @ axes.T, grid)
        view = self._still[camera]
        view.show()
        return view.see

    def _pixel_size(self, camera: str) -> float:
        fovy = math.radians(float(self._scene.model.camera(camera).fovy[0]))
        return 2.0 * math.tan(fovy / 2.0) / self._height

    def _pixel_rays(self, camera: str) -> np.ndarray:
        """Unit rays (height+1, width+1, 3) through pixel centres in camera axes (x right, y up, z backward)."""
        if camera not in self._rays:
            scale = self._pixel_size(camera)
            u = (np.arange(self._width + 1) + 0.5 - self._width / 2.0) * scale
            v = -(np.arange(self._height + 1) + 0.5 - self._height / 2.0) * scale
            rays = np.stack([*np.meshgrid(u, v), np.full((len(v), len(u)), -1.0)], axis=-1)
            self._rays[camera] = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        return self._rays[camera]


def _fill_between(colour: np.ndarray, key: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upsample a lattice (h,w) by two: colours (2h-1, 2w-1, 3) f32 and which of them may stand as they are."""
    h, w = key.shape
    image = np.zeros((2 * h - 1, 2 * w - 1, 3), np.float32)
    known = np.zeros((2 * h - 1, 2 * w - 1), bool)
    across = (key[:, :-1] == key[:, 1:]) & (_dot(normal[:, :-1], normal[:, 1:]) > SAME_FACE_COSINE)
    down = (key[:-1] == key[1:]) & (_dot(normal[:-1], normal[1:]) > SAME_FACE_COSINE)
    sky = key < 0
    across |= sky[:, :-1] & sky[:, 1:]
    down |= sky[:-1] & sky[1:]
    image[::2, ::2], known[::2, ::2] = colour, True
    between = 0.5 * (colour[:, :-1] + colour[:, 1:])
    image[::2, 1::2], known[::2, 1::2] = between, across
    image[1::2, ::2], known[1::2, ::2] = 0.5 * (colour[:-1] + colour[1:]), down
    image[1::2, 1::2] = 0.5 * (between[:-1] + between[1:])
    known[1::2, 1::2] = across[:-1] & across[1:] & down[:, :-1] & down[:, 1:]
    return image, known


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ijk,ijk->ij", a, b)
