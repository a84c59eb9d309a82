"""The force and OCT sensor in the needle: one scalar force and one A-line (depth profile) per sample, 650 Hz.

The raw force is in the sensor's own units, with a large baseline and a slow drift, as the lab's sensor sends it: a
driver must scale and tare it. The A-line looks along the needle: speckle, and a peak where the nearest surface is.
"""

from __future__ import annotations

import mujoco
import numpy as np

from insertion_vla_sim import scene
from insertion_vla_sim.world import World

BASELINE_RAW = -3.0
RAW_PER_NEWTON = 1.2
FORCE_NOISE_N = 0.02
DRIFT_N_PER_SQRT_S = 0.0015
MAX_TREND_N_PER_S = 0.0005
HELDOUT_NOISIER = 1.5  # noise and drift of the held-out scenes over those that training sees

ALINE_BINS = 1025
ALINE_RANGE_M = 0.005
ALINE_MIN, ALINE_MAX = -28.0, 288.0
PEAK_HEIGHT = 210.0
PEAK_SIGMA_BINS = 6.0

_BLOCK = 4096
_SPECKLE_LENGTH = 1 << 17
# Where the ray starts behind the tip, so that a surface the tip is pressed into is still ahead of it.
_BACK_M = scene.NEEDLE_RADIUS_M


# Farther from the eye's centre than this, nothing is in the A-line's range.
_FAR_M = scene.MOUTH_FROM_EYE_M + scene.TUBE_OUTER_RADIUS_M + ALINE_RANGE_M + _BACK_M


def surface_distance(world: World) -> float:
    """Distance [m] from the tip along the needle to the nearest surface, 0 when it touches, inf when there is none.

    Surfaces beyond the A-line's range may count as none.
    """
    tip, forward, eye = world.tip_position, world.tip_forward, world.eye_centre
    away = tip - eye
    if away @ away > _FAR_M**2:
        return float("inf")
    geom, start = np.empty(1, np.int32), tip - _BACK_M * forward
    hit = mujoco.mj_ray(
        world.model, world.data, start, forward, scene.COLLISION_GROUPS, 1, world.needle_body, geom
    )  # -1 without a hit
    nearest = max(hit - _BACK_M, 0.0) if hit >= 0.0 else float("inf")
    return min(nearest, _membrane_distance(world, tip, forward))


def _membrane_distance(world: World, tip: np.ndarray, forward: np.ndarray) -> float:
    mouths, rotations = world.tube_frames
    places, directions = ((tip - mouths)[:, None] @ rotations)[:, 0].tolist(), (forward @ rotations).tolist()
    nearest = float("inf")
    for (x, y, z), (dx, dy, dz), depth in zip(places, directions, world.layout.membrane_depth_m.tolist(), strict=True):
        if z < -scene.TUBE_LENGTH_M or z > ALINE_RANGE_M or dz > -0.1:
            continue
        along = max((z + depth) / -dz, 0.0)  # an indented membrane clings to the tip
        if (x + along * dx) ** 2 + (y + along * dy) ** 2 <= scene.HOLE_RADIUS_M**2:
            nearest = min(nearest, along)
    return nearest


class ForceSensor:
    """Noisy, drifting samples of the world; one `read` per world step."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._rng = np.random.default_rng([seed, 650])
        louder = HELDOUT_NOISIER if world.randomisation == "heldout" else 1.0
        self._noise_n, self._walk_n = (
            louder * FORCE_NOISE_N,
            louder * DRIFT_N_PER_SQRT_S / np.sqrt(scene.SAMPLE_RATE_HZ),
        )
        trend_n = louder * MAX_TREND_N_PER_S
        self._trend_n = self._rng.uniform(-trend_n, trend_n) / scene.SAMPLE_RATE_HZ
        self._drift_n = 0.0
        # Speckle is drawn once; every A-line is another stretch of it.
        speckle = self._rng.rayleigh(62.0, _SPECKLE_LENGTH) - 28.0 + self._rng.normal(0.0, 6.0, _SPECKLE_LENGTH)
        self._speckle = np.clip(speckle, ALINE_MIN, ALINE_MAX).astype(np.float32)
        offsets = np.arange(-(ALINE_BINS - 1), ALINE_BINS)
        self._peak = (PEAK_HEIGHT * np.exp(-0.5 * (offsets / PEAK_SIGMA_BINS) ** 2)).astype(np.float32)
        self._next = _BLOCK

    def read(self) -> tuple[np.float32, np.ndarray]:
        """The raw force [sensor units] and the A-line (1025,) f32 over 5 mm ahead of the tip, bin 0 at the tip."""
        if self._next == _BLOCK:
            self._draw_block()
        force_n = self._world.axial_force_n + self._offset_n[self._next]
        start = self._start[self._next]
        self._next += 1
        aline = self._speckle[start : start + ALINE_BINS].copy()
        distance = surface_distance(self._world)
        if distance < ALINE_RANGE_M:
            peak = round(distance / ALINE_RANGE_M * (ALINE_BINS - 1))
            first = ALINE_BINS - 1 - peak
            aline += self._peak[first : first + ALINE_BINS]
            np.minimum(aline, ALINE_MAX, out=aline)
        return np.float32(BASELINE_RAW + RAW_PER_NEWTON * force_n), aline

    def _draw_block(self) -> None:
        walk = self._rng.normal(self._trend_n, self._walk_n, _BLOCK)
        drift = self._drift_n + np.cumsum(walk)
        self._drift_n = float(drift[-1])
        self._offset_n = (drift + self._rng.normal(0.0, self._noise_n, _BLOCK)).tolist()
        self._start = self._rng.integers(0, _SPECKLE_LENGTH - ALINE_BINS, _BLOCK).tolist()
        self._next = 0
