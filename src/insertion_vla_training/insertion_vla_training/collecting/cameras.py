"""The simulated cameras as the graph has them: rendered, with the sensor's noise, as JPEG of the same encoder."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from insertion_vla_sim.camera_noise import CameraNoise
from insertion_vla_sim.emulators.cameras import jpeg
from insertion_vla_sim.render import Renderer

KEPT = 4  # pictures per view that a backbone may still ask for


class JpegCameras:
    """A renderer whose pictures went through the camera; a picture that was taken is never rendered twice."""

    def __init__(self, renderer: Renderer, seed: int) -> None:
        """`seed` of the sensor's noise."""
        self.backend = renderer.backend
        self._renderer, self._noise = renderer, CameraNoise(seed)
        self._taken: dict[str, deque[tuple[np.ndarray, bytes]]] = {}

    def take(self, view: str, state: np.ndarray) -> bytes:
        """The JPEG file of one picture of a `World.render_state()`."""
        data = jpeg(self._noise.add(self._renderer.render(view, state)))
        self._taken.setdefault(view, deque(maxlen=KEPT)).append((state, data))
        return data

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        """The picture (height, width, 3) uint8 RGB as whoever receives the JPEG decodes it."""
        taken = (data for known, data in self._taken.get(camera, ()) if known is state)
        data = next(taken, None) or self.take(camera, state)
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Give the graphics context back."""
        self._renderer.close()
