"""The noise of a camera's sensor: without it two frames of a resting scene are equal, like those of a frozen one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIGMA = 1.5  # grey levels
_SHIFT = 4096


class CameraNoise:
    """Gaussian noise, drawn once; every frame gets another stretch of it."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 5])
        self._noise = np.zeros(0, np.int16)

    def add(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A noisy copy of an image."""
        if len(self._noise) < image.size + _SHIFT:
            self._noise = np.rint(self._rng.normal(0.0, SIGMA, image.size + _SHIFT)).astype(np.int16)
        first = int(self._rng.integers(_SHIFT))
        noisy = image.reshape(-1) + self._noise[first : first + image.size]
        return np.clip(noisy, 0, 255).astype(np.uint8).reshape(image.shape)
