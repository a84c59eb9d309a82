"""Kinematics of serial arms of revolute joints, from a Denavit-Hartenberg table in YAML.

Forward kinematics and the Jacobian are exact; the inverse is numeric, so that any table works: Levenberg-Marquardt
with error-proportional damping (T. Sugihara, "Solvability-unconcerned inverse kinematics by the Levenberg-Marquardt
method", IEEE T-RO 27(5), 2011), kept inside the joint ranges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from insertion_vla_core.geometry import Array, Pose, log_so3
from insertion_vla_core.strict_yaml import StrictModel, load_strict

POSITION_TOLERANCE_M = 1e-8
ROTATION_TOLERANCE_RAD = 1e-7
ATTEMPTS = 60  # the seed, then random starts: each finds one of up to 16 branches, some of them out of range
ITERATIONS = 60
WELL_POSED = 1e4  # length of the rates [rad/s] for a twist of length one, up to which elimination is exact enough
SINGULAR_RESIDUAL = 1e-6  # share of a twist that the joints may miss before it counts as impossible


class NoSolution(Exception):
    """No joint values, or no joint rates, give what was asked; the sentence says why."""


@dataclass(frozen=True, eq=False)
class Arm:
    """A serial arm of n revolute joints.

    Attributes:
        name: of the model.
        joint_names: n names, base to flange.
        dh: (n, 4) float64 rows theta offset [rad], d [m], a [m], alpha [rad].
        lower_rad, upper_rad: (n,) joint ranges.
        speed_rad_s: (n,) top joint speeds.
        modified: rows follow Craig's convention (alpha and a come before theta and d).
    """

    name: str
    joint_names: tuple[str, ...]
    dh: Array
    lower_rad: Array
    upper_rad: Array
    speed_rad_s: Array
    modified: bool = False
    _rows: tuple[tuple[float, float, float, float, float], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = tuple((t, d, a, math.cos(alpha), math.sin(alpha)) for t, d, a, alpha in np.asarray(self.dh).tolist())
        object.__setattr__(self, "_rows", rows)

    @property
    def reach_m(self) -> float:
        """No point of the flange is farther from the base's origin than this [m]."""
        return float(np.hypot(self.dh[:, 1], self.dh[:, 2]).sum())


class _Joint(StrictModel):
    name: str
    theta_deg: float
    d_m: float = Field(ge=-10.0, le=10.0)
    a_m: float = Field(ge=-10.0, le=10.0)
    alpha_deg: float
    range_deg: tuple[float, float] = Field(strict=False)
    speed_deg_s: float = Field(gt=0.0)

    @model_validator(mode="after")
    def _ordered(self) -> _Joint:
        low, high = self.range_deg
        if not low < high:
            raise ValueError(f"expected range_deg as [lowest, highest], got [{low:g}, {high:g}]")
        return self


class _ArmFile(StrictModel):
    name: str
    convention: Literal["standard", "modified"]
    joints: tuple[_Joint, ...] = Field(strict=False, min_length=1)


def load_arm(name_or_path: str | Path) -> Arm:
    """Load an arm shipped with this package ("meca500") or any YAML file of the same form.

    Raises:
        ValueError: no such arm, or wrong entries; the message names them.
    """
    folder = resources.files("insertion_vla_core") / "robots"
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        shipped = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
        if str(name_or_path) not in shipped:
            raise ValueError(
                f"expected a shipped arm ({', '.join(shipped)}) or a path to a .yaml file, got '{name_or_path}'"
            )
        path = Path(str(folder / f"{name_or_path}.yaml"))
    content = load_strict(path, _ArmFile, "a robot arm")
    joints = content.joints
    limits = np.radians([joint.range_deg for joint in joints])
    return Arm(
        name=content.name,
        joint_names=tuple(joint.name for joint in joints),
        dh=np.array([[math.radians(j.theta_deg), j.d_m, j.a_m, math.radians(j.alpha_deg)] for j in joints]),
        lower_rad=limits[:, 0],
        upper_rad=limits[:, 1],
        speed_rad_s=np.radians([joint.speed_deg_s for joint in joints]),
        modified=content.convention == "modified",
    )


def _joints(arm: Arm, q: ArrayLike) -> Array:
    values = np.asarray(q, dtype=np.float64)
    if values.shape != (len(arm.joint_names),):
        raise ValueError(f"expected {len(arm.joint_names)} joint values for {arm.name}, got shape {values.shape}")
    return values


def _chain(arm: Arm, q: ArrayLike) -> list[tuple[float, ...]]:
    """Frames after each joint as 12 numbers: axes x, y, z, then the origin. Plain floats beat 4x4 arrays here."""
    x0, x1, x2, y0, y1, y2, z0, z1, z2, p0, p1, p2 = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
    frames: list[tuple[float, ...]] = []
    for (theta, d, a, ca, sa), angle in zip(arm._rows, _joints(arm, q).tolist(), strict=True):
        c, s = math.cos(theta + angle), math.sin(theta + angle)
        if arm.modified:
            p0, p1, p2 = p0 + a * x0, p1 + a * x1, p2 + a * x2
            y0, z0 = ca * y0 + sa * z0, ca * z0 - sa * y0
            y1, z1 = ca * y1 + sa * z1, ca * z1 - sa * y1
            y2, z2 = ca * y2 + sa * z2, ca * z2 - sa * y2
        p0, p1, p2 = p0 + d * z0, p1 + d * z1, p2 + d * z2
        x0, y0 = c * x0 + s * y0, c * y0 - s * x0
        x1, y1 = c * x1 + s * y1, c * y1 - s * x1
        x2, y2 = c * x2 + s * y2, c * y2 - s * x2
        if not arm.modified:
            p0, p1, p2 = p0 + a * x0, p1 + a * x1, p2 + a * x2
            y0, z0 = ca * y0 + sa * z0, ca * z0 - sa * y0
            y1, z1 = ca * y1 + sa * z1, ca * z1 - sa * y1
            y2, z2 = ca * y2 + sa * z2, ca * z2 - sa * y2
        frames.append((x0, x1, x2, y0, y1, y2, z0, z1, z2, p0, p1, p2))
    return frames


_BASE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def _pose(frame: tuple[float, ...]) -> Pose:
    return Pose(np.array(frame[9:]), np.array(frame[:9]).reshape(3, 3).T)


def forward(arm: Arm, q: ArrayLike) -> Pose:
    """Flange pose in the base frame for joint values q (n,) [rad]."""
    return _pose(_chain(arm, q)[-1])


def joint_frames(arm: Arm, q: ArrayLike) -> list[Pose]:
    """Poses of the n frames after each joint in the base frame; the last is the flange."""
    return [_pose(frame) for frame in _chain(arm, q)]


def _jacobian(arm: Arm, frames: list[tuple[float, ...]], tip: Sequence[float]) -> Array:
    t0, t1, t2 = tip
    columns = []
    # A standard row turns about the z axis of the frame before it, a modified one about its own.
    for *_, z0, z1, z2, p0, p1, p2 in frames if arm.modified else [_BASE, *frames[:-1]]:
        a0, a1, a2 = t0 - p0, t1 - p1, t2 - p2
        columns.append((z1 * a2 - z2 * a1, z2 * a0 - z0 * a2, z0 * a1 - z1 * a0, z0, z1, z2))
    return np.array(columns).T


def jacobian(arm: Arm, q: ArrayLike, tool: Pose | None = None) -> Array:
    """Geometric Jacobian (6, n): rows [v (m/s); w (rad/s)] of the tool point in base axes per rad/s of each joint.

    Args:
        arm: the arm.
        q: (n,) joint values [rad].
        tool: tool pose in the flange frame; None for the flange itself.
    """
    frames = _chain(arm, q)
    x0, x1, x2, y0, y1, y2, z0, z1, z2, p0, p1, p2 = frames[-1]
    if tool is not None:
        x, y, z = tool.position.tolist()
        p0, p1, p2 = p0 + x * x0 + y * y0 + z * z0, p1 + x * x1 + y * y1 + z * z1, p2 + x * x2 + y * y2 + z * z2
    return _jacobian(arm, frames, (p0, p1, p2))


def inverse(arm: Arm, target: Pose, seed: ArrayLike) -> Array:
    """Joint values (n,) [rad] inside the joint ranges that bring the flange to `target` (base frame).

    The solution reached from `seed` is preferred, so that a target near the present pose stays on the present branch.
    If it leads nowhere, other starts are tried: the same ones each time, so that equal calls give equal answers.

    Raises:
        NoSolution: the target is out of reach, or only reachable outside the joint ranges.
    """
    start = np.clip(_joints(arm, seed), arm.lower_rad, arm.upper_rad)
    if not (np.isfinite(target.position).all() and np.isfinite(target.rotation).all() and np.isfinite(start).all()):
        raise NoSolution("expected a finite target pose and seed, got NaN or infinity")
    distance = float(np.linalg.norm(target.position))
    if distance > arm.reach_m:
        raise NoSolution(
            f"the target is {distance:.3f} m from the base, {arm.name} reaches {arm.reach_m:.3f} m at most"
        )
    random = np.random.default_rng(0)
    for _ in range(ATTEMPTS):
        solution = _descend(arm, target, start)
        if solution is not None:
            return solution
        start = random.uniform(np.maximum(arm.lower_rad, -math.pi), np.minimum(arm.upper_rad, math.pi))
    raise NoSolution(
        f"{arm.name} does not reach position {np.round(target.position, 4).tolist()} m in this orientation "
        f"inside its joint ranges ({ATTEMPTS} starts tried)"
    )


def _error(target: Pose, flange: Pose) -> Array:
    result = np.empty(6)
    result[:3] = target.position - flange.position
    result[3:] = log_so3(target.rotation @ flange.rotation.T)
    return result


def _descend(arm: Arm, target: Pose, start: Array) -> Array | None:
    """Levenberg-Marquardt from one start; None where it ends in a corner or a local minimum."""
    q = start
    best, stalled = math.inf, 0
    # Metres and radians meet in one norm; lengths count in units of the reach.
    weight = np.array([1.0 / arm.reach_m] * 3 + [1.0] * 3)
    identity = np.eye(len(q))
    for _ in range(ITERATIONS):
        frames = _chain(arm, q)
        flange = _pose(frames[-1])
        error = _error(target, flange)
        if abs(error[:3]).max() < POSITION_TOLERANCE_M and abs(error[3:]).max() < ROTATION_TOLERANCE_RAD:
            return q
        scaled = error * weight
        squared = float(scaled @ scaled)
        stalled = stalled + 1 if squared > 0.9 * best else 0
        best = min(best, squared)
        if stalled > 8:
            return None
        matrix = _jacobian(arm, frames, frames[-1][9:]) * weight[:, None]
        gradient = matrix.T @ scaled
        # A joint at the end of its range that would leave it stays where it is for this step.
        free = ~(((q <= arm.lower_rad) & (gradient < 0.0)) | ((q >= arm.upper_rad) & (gradient > 0.0)))
        normal = matrix.T @ matrix + (0.05 * squared + 1e-12) * identity
        step = np.zeros(len(q))
        step[free] = np.linalg.solve(normal[np.ix_(free, free)], gradient[free])
        largest = float(abs(step).max())
        if largest > 1.0:  # beyond a radian the linear model says nothing
            step /= largest
        q = np.clip(q + step, arm.lower_rad, arm.upper_rad)
    return None


def _eliminated(matrix: Array, wanted: Array) -> Array | None:
    """The only rates that meet a twist, by elimination; None with more than six joints and near a singularity."""
    if matrix.shape[1] != len(wanted):
        return None
    try:
        rates = np.linalg.solve(matrix, wanted).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        return None
    return rates if rates @ rates <= WELL_POSED**2 * (wanted @ wanted) else None


def twist_to_joint_rates(
    arm: Arm, q: ArrayLike, twist: ArrayLike, tool: Pose | None = None, damping: float = 0.0
) -> Array:
    """Joint rates (n,) [rad/s] that give the tool point a twist (6,) [v (m/s); w (rad/s)] in base axes.

    Without damping the twist is met exactly, with rates that grow without bound towards a singularity (scale them
    down together to keep the direction). With damping > 0 [m, rad] rates stay bounded near a singularity, but the
    motion then differs from the twist that was asked for.

    Raises:
        NoSolution: without damping, the arm is singular here and cannot move that way.
    """
    wanted = np.asarray(twist, dtype=np.float64)
    if wanted.shape != (6,):
        raise ValueError(f"expected a twist of shape (6,), got {wanted.shape}")
    if not np.isfinite(wanted).all():
        raise ValueError(f"expected a finite twist, got {wanted.tolist()}")
    matrix = jacobian(arm, q, tool)
    if damping > 0.0:
        result: Array = matrix.T @ np.linalg.solve(matrix @ matrix.T + damping**2 * np.eye(6), wanted)
        return result
    if (rates := _eliminated(matrix, wanted)) is not None:
        return rates
    rates = np.linalg.lstsq(matrix, wanted, rcond=1e-10)[0].astype(np.float64)
    missed = float(np.linalg.norm(matrix @ rates - wanted))
    if missed > SINGULAR_RESIDUAL * float(np.linalg.norm(wanted)):
        where = np.round(np.asarray(q, dtype=np.float64), 4).tolist()
        raise NoSolution(f"{arm.name} is singular at joints {where} rad and cannot move this way from there")
    return rates
