"""Camera images of the scene: ray casting everywhere, EGL or OSMesa through MuJoCo where they are installed."""

from __future__ import annotations

import ctypes.util
import importlib
import time
from typing import Literal, Protocol

import mujoco
import numpy as np

from insertion_vla_sim import scene
from insertion_vla_sim.rays import RayRenderer
from insertion_vla_sim.scene_copy import SceneCopy
from insertion_vla_sim.world import World

Backend = Literal["auto", "rays", "egl", "osmesa"]
BACKENDS: tuple[Backend, ...] = ("auto", "rays", "egl", "osmesa")


class Renderer(Protocol):
    """Turns a render state into the image of one view."""

    backend: str

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        """Image (height, width, 3) uint8 RGB of view `camera` for a `World.render_state()`."""
        ...

    def close(self) -> None:
        """Give the graphics context back."""
        ...


class GlRenderer:
    """MuJoCo's OpenGL renderer without a display. Use it only in the thread that made it."""

    def __init__(self, backend: str, xml: str, width: int, height: int) -> None:
        library = {"egl": "EGL", "osmesa": "OSMesa"}[backend]
        try:
            # Asked first: importing one back end for nothing would keep PyOpenGL from taking the other one.
            if ctypes.util.find_library(library) is None:
                raise OSError(f"lib{library} is not installed")
            # `mujoco.Renderer` takes its context from MUJOCO_GL at import time, too early for an option of ours.
            self._context = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
        except Exception as error:  # every driver fails in its own way, and they all mean the same here
            raise ValueError(
                f"renderer {backend!r} does not work on this machine ({error}); it needs the system's lib{library} "
                "and the Python package PyOpenGL. Use backend 'rays'."
            ) from error
        self.backend = backend
        self._scene = SceneCopy(xml)
        self._scene.model.vis.global_.offwidth, self._scene.model.vis.global_.offheight = width, height
        self._context.make_current()
        self._draw = mujoco.MjrContext(self._scene.model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._draw)
        self._visual = mujoco.MjvScene(self._scene.model, maxgeom=500)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = scene.VISIBLE_GROUPS
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewport = mujoco.MjrRect(0, 0, width, height)

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        """Image (height, width, 3) uint8 RGB of view `camera` for a `World.render_state()`."""
        self._scene.show(state)
        self._camera.fixedcamid = self._scene.camera_id(camera)
        self._context.make_current()
        mujoco.mjv_updateScene(
            self._scene.model, self._scene.data, self._option, None, self._camera,
            mujoco.mjtCatBit.mjCAT_ALL, self._visual,
        )  # fmt: skip
        mujoco.mjr_render(self._viewport, self._visual, self._draw)
        image = np.empty((self._viewport.height, self._viewport.width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, self._viewport, self._draw)
        return np.ascontiguousarray(image[::-1])

    def close(self) -> None:
        self._draw.free()
        self._context.free()


def make_renderer(
    source: World | str | None = None,
    backend: Backend = "auto",
    width: int = scene.IMAGE_WIDTH,
    height: int = scene.IMAGE_HEIGHT,
) -> Renderer:
    """A renderer for `World.render_state()` arrays; it keeps its own copy of the scene and may live in any process.

    Args:
        source: a World or an MJCF text to copy the scene from; None is the built-in scene.
        backend: "auto" takes the fastest of those that work on this machine.
        width, height: image size in pixels.

    Raises:
        ValueError: unknown backend, or one that does not work on this machine.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    xml = source.xml if isinstance(source, World) else source or scene.scene_xml()
    if backend == "rays":
        return RayRenderer(xml, width, height)
    if backend != "auto":
        return GlRenderer(backend, xml, width, height)
    candidates: list[Renderer] = [RayRenderer(xml, width, height)]
    for gl in ("egl", "osmesa"):
        try:
            candidates.append(GlRenderer(gl, xml, width, height))
        except ValueError:
            continue  # not on this machine, which is no error here: rays always work
    # Without a graphics card OpenGL runs in software and is slower than rays, so the stopwatch decides.
    best = min(candidates, key=_frame_time_s)
    for other in candidates:
        if other is not best:
            other.close()
    return best


def _frame_time_s(renderer: Renderer) -> float:
    state = World(0).render_state()
    renderer.render("front", state)
    started_s = time.perf_counter()
    renderer.render("front", state)
    return time.perf_counter() - started_s
