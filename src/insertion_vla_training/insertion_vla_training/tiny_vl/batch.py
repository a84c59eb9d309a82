"""Training batches of `train_tiny_vl`: pictures turned, scaled, flipped, cut and recoloured, with their key points.

A batch depends on the seed and the step alone, so a run that was stopped goes on with the very batches it had coming.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from insertion_vla_sim import scene
from insertion_vla_training.cli.sentences import naming, naming_none
from insertion_vla_training.tiny_vl.set import COLOURS, VIEWS, KeypointSet

JITTER = 0.35  # of a cut's size, between its centre and the tube it was cut around
NOISE_SIZE = 1 << 20


@dataclass(frozen=True)
class Augmentation:
    """How much a picture may change.

    Attributes:
        width, height: of the result [pixels].
        cut: cut around a tube (True), or keep the picture's middle.
        turn_rad, scale: turned and scaled by at most this, scale as a share.
        flip: share of mirrored pictures.
        shift: moved by at most this share of the size, for pictures that are not cut.
    """

    width: int
    height: int
    cut: bool
    turn_rad: float
    scale: float
    flip: float = 0.5
    shift: float = 0.0


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures and what is in them.

    Attributes:
        pictures: (n, height, width, 3) float32, -1..1.
        pixels: (n, colours, 2, 2) float32.
        seen: (n, colours, 2) bool.
        sentences: one for each colour and one that names none.
    """

    pictures: np.ndarray
    pixels: np.ndarray
    seen: np.ndarray
    sentences: list[str]


def make_batch(frames: KeypointSet, size: int, how: Augmentation, seed: int, step: int) -> Batch:
    """The batch of a step."""
    rng = np.random.default_rng([seed, step])
    pictures = np.empty((size, how.height, how.width, 3), np.float32)
    pixels = np.empty((size, COLOURS, 2, 2), np.float32)
    seen = np.empty((size, COLOURS, 2), bool)
    for row in range(size):
        index, view = int(rng.integers(len(frames))), int(rng.integers(VIEWS))
        before = frames.pixels[index, view]
        matrix = _placing(before, how, rng)
        warped = cv2.warpAffine(
            frames.picture(index, view), matrix, (how.width, how.height), borderValue=rng.uniform(60, 200, 3).tolist()
        )
        pictures[row] = _recoloured(warped, rng)
        pixels[row] = before @ matrix[:, :2].T + matrix[:, 2]
        inside = (pixels[row] >= 0.0).all(-1) & (pixels[row] <= (how.width - 1, how.height - 1)).all(-1)
        seen[row] = frames.seen[index, view] & inside
    sentences = [*(naming(colour, rng) for colour in scene.COLOURS), naming_none(rng)]
    return Batch(pictures, pixels, seen, sentences)


def _placing(points: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Matrix (2, 3) from the pixels of the picture to those of the result."""
    angle = rng.uniform(-how.turn_rad, how.turn_rad)
    scale = math.exp(rng.uniform(-how.scale, how.scale))
    mirror = -1.0 if rng.random() < how.flip else 1.0
    linear = scale * np.array(
        [[mirror * math.cos(angle), -math.sin(angle)], [mirror * math.sin(angle), math.cos(angle)]]
    )
    size = np.array([how.width, how.height])
    centre = np.array([(scene.IMAGE_WIDTH - 1) / 2.0, (scene.IMAGE_HEIGHT - 1) / 2.0])
    away = rng.uniform(-how.shift, how.shift, 2) * size
    mouth = points[rng.integers(len(points)), 0]
    if how.cut and np.isfinite(mouth).all():
        centre, away = mouth, rng.uniform(-JITTER, JITTER, 2) * size
    return np.column_stack([linear, (size - 1) / 2.0 + away - linear @ centre])


def _recoloured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """-1..1 float32 with another brightness, contrast, tint, saturation and noise."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    mix = rng.uniform(0.75, 1.15)  # 1 keeps the colours, 0 would be grey
    to = mix * np.diag(gain) + (1.0 - mix) / 3.0 * np.ones((3, 3)) * gain
    shift = rng.uniform(-15.0, 15.0)
    colour = np.column_stack([to / 127.5, np.full(3, shift / 127.5 - 1.0)])
    result = cv2.transform(picture.astype(np.float32), colour)
    start = int(rng.integers(NOISE_SIZE - result.size))
    result += (rng.uniform(0.0, 0.03) * _NOISE[start : start + result.size]).reshape(result.shape)
    return np.clip(result, -1.0, 1.0, out=result)


_NOISE = np.random.default_rng(0).normal(size=NOISE_SIZE).astype(np.float32)
