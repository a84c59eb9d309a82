"""What a seed decides: where the phantom stands, which tube has which colour, membrane depths, light, clutter."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np
from insertion_vla_core.geometry import exp_so3

from insertion_vla_sim import scene

Randomisation = Literal["train", "heldout"]
RANDOMISATIONS: tuple[Randomisation, ...] = ("train", "heldout")

POSITION_SPREAD_M = 0.010
TILT_SPREAD_RAD = math.radians(10.0)
MEMBRANE_DEPTH_M = (0.003, 0.011)
START_SPREAD_RAD = math.radians(3.0)
HELDOUT_CAMERA_SHIFT_M = 0.004
HELDOUT_POSE = 1.2  # the phantom stands up to this times as far off and as tilted
# In the held-out set every one of these lies outside the range of the training set, by at most this share of its width.
HELDOUT_BEYOND = 0.3
DISTRACTOR_RGB = ((0.88, 0.74, 0.10), (0.47, 0.16, 0.62), (0.50, 0.50, 0.50), (0.10, 0.66, 0.70))

# The wrist centre must stay inside the arm's shell with the needle 30 mm before the mouth and at full depth.
SHOULDER_M = np.array([0.0, 0.0, 0.135])
WRIST_TO_TIP_M = 0.07 + scene.TOOL_LENGTH_M
REACH_M = (0.100, 0.247)


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything a seed decides. Lengths in m, angles in rad, base axes."""

    seed: int
    randomisation: Randomisation
    colours: tuple[str, ...]  # colour of tube 0, 1, 2
    target: str
    membrane_depth_m: np.ndarray  # (3,) behind the mouth, by tube
    mount_position_m: np.ndarray  # (3,) centre of the eye
    mount_rotation: np.ndarray  # (3,3)
    start_joints_rad: np.ndarray  # (6,)
    lamp_position_m: np.ndarray  # (3,)
    lamp_diffuse: np.ndarray  # (3,)
    ambient: np.ndarray  # (3,)
    table_rgb: np.ndarray  # (3,)
    mat_rgb: np.ndarray  # (3,)
    iris_rgb: np.ndarray  # (3,)
    distractor_position_m: np.ndarray  # (n,3)
    distractor_yaw_rad: np.ndarray  # (n,)
    distractor_rgb: np.ndarray  # (n,3)
    camera_shift_m: np.ndarray  # (2,3) of the static views, zero in the training set


def _draw(rng: np.random.Generator, low: float, high: float, heldout: bool) -> float:
    """Uniform in a range; for the held-out set in the strips below and above it."""
    if not heldout:
        return float(rng.uniform(low, high))
    strip = rng.random() * HELDOUT_BEYOND * (high - low)
    return float(low - strip if low - strip > 0.0 and rng.random() < 0.5 else high + strip)


def _ball(rng: np.random.Generator, radius: float) -> np.ndarray:
    """A vector (3,) uniform in a ball."""
    v = rng.normal(size=3)
    return v / np.linalg.norm(v) * radius * rng.random() ** (1.0 / 3.0)


def _reachable(position: np.ndarray, rotation: np.ndarray) -> bool:
    for i in range(scene.TUBE_COUNT):
        out = rotation @ scene.tube_direction(i)
        for above_mouth in (0.030, -scene.TUBE_LENGTH_M):
            wrist = position + out * (scene.MOUTH_FROM_EYE_M + above_mouth + WRIST_TO_TIP_M)
            if not REACH_M[0] < np.linalg.norm(wrist - SHOULDER_M) < REACH_M[1]:
                return False
    return True


def _mount(rng: np.random.Generator, heldout: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pose of the phantom; the few that the arm cannot reach are drawn again.

    Of the held-out set, the offset along one axis and the tilt are larger than any of the training set.
    """
    nominal = exp_so3(np.array([0.0, scene.EYE_TILT_RAD, 0.0]))
    while True:
        offset, tilt = rng.uniform(-POSITION_SPREAD_M, POSITION_SPREAD_M, 3), _ball(rng, TILT_SPREAD_RAD)
        if heldout:
            offset *= POSITION_SPREAD_M * rng.uniform(1.0, HELDOUT_POSE) / np.abs(offset).max()
            tilt *= TILT_SPREAD_RAD * rng.uniform(1.0, HELDOUT_POSE) / np.linalg.norm(tilt)
        position = np.asarray(scene.EYE_CENTRE_M) + offset
        rotation = exp_so3(tilt) @ nominal
        if _reachable(position, rotation):
            return position, rotation


def draw_layout(seed: int, randomisation: Randomisation = "train") -> Layout:
    """The layout of a seed. The two sets never share one: the set's name is part of the random stream.

    Raises:
        ValueError: unknown set or a seed that is not a non-negative integer.
    """
    if randomisation not in RANDOMISATIONS:
        raise ValueError(f"randomisation must be one of {', '.join(RANDOMISATIONS)}, got {randomisation!r}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**53:
        raise ValueError(f"seed must be an integer from 0 to 2^53-1, got {seed!r}")
    rng = np.random.default_rng([RANDOMISATIONS.index(randomisation), int(seed)])
    heldout = randomisation == "heldout"
    colours = tuple(str(c) for c in rng.permutation(scene.COLOURS))
    target = str(rng.choice(scene.COLOURS))
    depth = rng.uniform(*MEMBRANE_DEPTH_M, scene.TUBE_COUNT)
    position, rotation = _mount(rng, heldout)
    start = scene.START_JOINTS_RAD + rng.uniform(-START_SPREAD_RAD, START_SPREAD_RAD, 6)
    lamp = np.array([position[0], 0.0, 0.0]) + (
        rng.uniform(0.0, 0.35),
        rng.uniform(-0.35, 0.35),
        rng.uniform(0.55, 0.8),
    )
    brightness, warmth = _draw(rng, 0.55, 0.85, heldout), rng.uniform(-0.05, 0.05)
    ambient = np.full(3, _draw(rng, 0.24, 0.40, heldout))
    table = np.array(colorsys.hsv_to_rgb(rng.random(), _draw(rng, 0.0, 0.18, heldout), rng.uniform(0.35, 0.80)))
    mat = np.array(colorsys.hsv_to_rgb(rng.random(), _draw(rng, 0.0, 0.15, heldout), rng.uniform(0.18, 0.50)))
    iris = np.array(colorsys.hsv_to_rgb(rng.uniform(0.06, 0.12), rng.uniform(0.2, 0.45), rng.uniform(0.2, 0.4)))
    n = scene.DISTRACTORS
    # One in each sector around the phantom, so that they do not stand in each other.
    angle = rng.uniform(0.0, 2.0 * math.pi) + (np.arange(n) + rng.uniform(-0.25, 0.25, n)) * 2.0 * math.pi / n
    radius = rng.uniform(0.032, 0.065, n)
    spots = np.column_stack(
        [position[0] + radius * np.cos(angle), position[1] + radius * np.sin(angle), np.full(n, 0.007)]
    )
    yaw = rng.uniform(0.0, 2.0 * math.pi, n)
    rgb = np.asarray(DISTRACTOR_RGB)[rng.integers(0, len(DISTRACTOR_RGB), n)]
    shift = rng.uniform(-HELDOUT_CAMERA_SHIFT_M, HELDOUT_CAMERA_SHIFT_M, (2, 3)) * heldout
    return Layout(
        seed=int(seed),
        randomisation=randomisation,
        colours=colours,
        target=target,
        membrane_depth_m=depth,
        mount_position_m=position,
        mount_rotation=rotation,
        start_joints_rad=start,
        lamp_position_m=lamp,
        lamp_diffuse=brightness * np.array([1.0 + warmth, 1.0, 1.0 - warmth]),
        ambient=ambient,
        table_rgb=table,
        mat_rgb=mat,
        iris_rgb=iris,
        distractor_position_m=spots,
        distractor_yaw_rad=yaw,
        distractor_rgb=rgb,
        camera_shift_m=shift,
    )


def apply_layout(model: mujoco.MjModel, layout: Layout) -> None:
    """Write a layout into the compiled model. Every randomised field is written, so nothing of the last seed stays."""
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, layout.mount_rotation.ravel())
    mount, stand = model.body("mount").id, model.body("stand").id
    model.body_pos[mount], model.body_quat[mount] = layout.mount_position_m, quat
    model.body_pos[stand] = layout.mount_position_m
    for i, colour in enumerate(layout.colours):
        model.geom(f"barrel{i}").rgba[:3] = scene.TUBE_RGB[colour]
        model.geom(f"flange{i}").rgba[:3] = scene.TUBE_RGB[colour]
    light = model.light("lamp")
    light.pos[:] = layout.lamp_position_m
    aim = layout.mount_position_m - layout.lamp_position_m
    light.dir[:] = aim / np.linalg.norm(aim)
    light.diffuse[:] = layout.lamp_diffuse
    model.vis.headlight.ambient[:] = layout.ambient
    model.geom("table").rgba[:3] = layout.table_rgb
    model.geom("mat").rgba[:3] = layout.mat_rgb
    model.geom("iris").rgba[:3] = layout.iris_rgb
    for i in range(scene.DISTRACTORS):
        body = model.body(f"distractor{i}")
        body.pos[:] = layout.distractor_position_m[i]
        half = layout.distractor_yaw_rad[i] / 2.0
        body.quat[:] = (math.cos(half), 0.0, 0.0, math.sin(half))
        model.geom(f"distractor{i}").rgba[:3] = layout.distractor_rgb[i]
    nominal = scene.static_camera_positions()
    for view, shift in zip(("front", "side"), layout.camera_shift_m, strict=True):
        model.camera(view).pos[:] = nominal[view] + shift
