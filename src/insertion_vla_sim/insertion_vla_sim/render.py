"""Camera images of the scene: ray casting everywhere, EGL or OSMesa through MuJoCo where they are installed."""

from __future__ import annotations

import math
import os
from typing import Literal, Protocol

import mujoco
import numpy as np

from insertion_vla_sim import scene
from insertion_vla_sim.randomise import apply_layout, draw_layout
from insertion_vla_sim.world import RenderState, World

Backend = Literal["auto", "rays", "egl", "osmesa"]
BACKENDS: tuple[Backend, ...] = ("auto", "rays", "egl", "osmesa")
SKY_RGB = np.array([0.72, 0.76, 0.80], np.float32)
MAX_DISTANCE_M = 3.0


class Renderer(Protocol):
    """Turns a render state into the image of one view."""

    backend: str

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        """Image (height, width, 3) uint8 RGB of view `camera` for a `World.render_state()`."""
        ...

    def close(self) -> None:
        """Give the graphics context back."""
        ...


class Scene:
    """A private copy of the scene that follows render states, also those of another process."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(scene.scene_xml())
        self.data = mujoco.MjData(self.model)
        self._drawn: tuple[int, str] | None = None

    def show(self, state: np.ndarray) -> None:
        """Take over a render state."""
        decoded = RenderState.decode(state)
        drawn = (decoded.seed, decoded.randomisation)
        if drawn != self._drawn:
            apply_layout(self.model, draw_layout(*drawn))
            self._drawn = drawn
        self.data.qpos[:] = decoded.qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def camera_id(self, name: str) -> int:
        """Raises ValueError for a view that does not exist."""
        if name not in scene.VIEWS:
            raise ValueError(f"camera must be one of {', '.join(scene.VIEWS)}, got {name!r}")
        return self.model.camera(name).id


class RayRenderer:
    """Lambert shading with hard shadows from `mj_multiRay`: geom, distance and normal per pixel. No GL needed."""

    backend = "rays"

    def __init__(self, width: int = scene.IMAGE_WIDTH, height: int = scene.IMAGE_HEIGHT) -> None:
        self._scene = Scene()
        self._width, self._height = width, height
        n = width * height
        self._geom = np.full(n, -1, np.int32)
        self._distance = np.zeros(n)
        self._normal = np.zeros((n, 3))
        self._shadow_geom = np.full(n, -1, np.int32)
        self._shadow_distance = np.zeros(n)
        self._rays: dict[str, np.ndarray] = {}

    def _pixel_rays(self, camera: str) -> np.ndarray:
        """Unit rays (n,3) through the pixel centres in MuJoCo camera axes (x right, y up, z backward)."""
        if camera not in self._rays:
            fovy = math.radians(float(self._scene.model.camera(camera).fovy[0]))
            scale = 2.0 * math.tan(fovy / 2.0) / self._height
            u = (np.arange(self._width) + 0.5 - self._width / 2.0) * scale
            v = -(np.arange(self._height) + 0.5 - self._height / 2.0) * scale
            rays = np.stack([*np.meshgrid(u, v), np.full((self._height, self._width), -1.0)], axis=-1).reshape(-1, 3)
            self._rays[camera] = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        return self._rays[camera]

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        self._scene.show(state)
        model, data = self._scene.model, self._scene.data
        cam = self._scene.camera_id(camera)
        origin = data.cam_xpos[cam]
        rays = self._pixel_rays(camera) @ data.cam_xmat[cam].reshape(3, 3).T
        n = len(rays)
        mujoco.mj_multiRay(
            model, data, origin, np.ascontiguousarray(rays).ravel(), scene.VISIBLE_GROUPS, 1, -1,
            self._geom, self._distance, self._normal.ravel(), n, MAX_DISTANCE_M,
        )  # fmt: skip
        hit = np.flatnonzero(self._geom >= 0)
        points = origin + rays[hit] * self._distance[hit, None]
        colour = self._shade(points, self._normal[hit], rays[hit], self._geom[hit])
        image = np.broadcast_to(SKY_RGB, (n, 3)).copy()
        image[hit] = colour
        return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8).reshape(self._height, self._width, 3)

    def _shade(self, points: np.ndarray, normals: np.ndarray, rays: np.ndarray, geoms: np.ndarray) -> np.ndarray:
        model, data = self._scene.model, self._scene.data
        light = data.light_xpos[0]
        to_light = light - points
        distance = np.linalg.norm(to_light, axis=1)
        to_light /= distance[:, None]
        lambert = np.einsum("ij,ij->i", normals, to_light)
        facing = np.flatnonzero(lambert > 0.0)
        lit = np.zeros(len(points), np.float32)
        if len(facing):
            lit[facing] = self._unshadowed(light, -to_light[facing], distance[facing])
        albedo = model.geom_rgba[geoms, :3].astype(np.float32)
        head = np.maximum(-np.einsum("ij,ij->i", normals, rays), 0.0)
        light_rgb = np.asarray(model.vis.headlight.ambient) + np.outer(head, model.vis.headlight.diffuse)
        light_rgb += np.outer(np.maximum(lambert, 0.0) * lit, model.light_diffuse[0])
        halfway = to_light - rays
        halfway /= np.linalg.norm(halfway, axis=1, keepdims=True)
        shine = np.maximum(np.einsum("ij,ij->i", normals, halfway), 0.0) ** 40 * lit
        return albedo * light_rgb + np.outer(shine, model.light_specular[0])

    def _unshadowed(self, light: np.ndarray, directions: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """1 where a ray from the lamp reaches the point, 0 in shadow."""
        n = len(directions)
        mujoco.mj_multiRay(
            self._scene.model, self._scene.data, light, np.ascontiguousarray(directions).ravel(),
            scene.VISIBLE_GROUPS, 1, -1, self._shadow_geom[:n], self._shadow_distance[:n], None, n, MAX_DISTANCE_M,
        )  # fmt: skip
        blocked = (self._shadow_geom[:n] >= 0) & (self._shadow_distance[:n] < distance - 2e-4)
        return (~blocked).astype(np.float32)

    def close(self) -> None:
        """Nothing to give back."""


class GlRenderer:
    """MuJoCo's own OpenGL renderer, headless."""

    def __init__(self, backend: str, width: int = scene.IMAGE_WIDTH, height: int = scene.IMAGE_HEIGHT) -> None:
        # MuJoCo reads the variable when its renderer makes a context; unset it would want a window system.
        os.environ["MUJOCO_GL"] = backend
        self.backend = backend
        self._scene = Scene()
        self._gl = mujoco.Renderer(self._scene.model, height, width)

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        self._scene.show(state)
        self._gl.update_scene(self._scene.data, self._scene.camera_id(camera))
        return self._gl.render()

    def close(self) -> None:
        self._gl.close()


def make_renderer(world: World | str | None = None, backend: Backend = "auto") -> Renderer:
    """A renderer for `World.render_state()` arrays.

    Args:
        world: unused by the built-in scene; accepted so that callers can name what they render.
        backend: "auto" takes EGL, then OSMesa, where they work, and rays otherwise.

    Raises:
        ValueError: unknown backend, or one that does not work on this machine.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    return RayRenderer()
