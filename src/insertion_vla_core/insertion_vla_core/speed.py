"""How far a twist must be scaled down to respect the limits: always one factor for all six numbers.

Plain floats: at 100 Hz a dozen tiny numpy operations would cost more than the arithmetic. Each function returns the
factor (0..1) and, where it is below 1, what for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Floats = Sequence[float]

BRAKE_S = 0.2  # speed towards a boundary is at most distance / BRAKE_S: the arm comes to rest in front of it
# A boundary lies this much farther out, so that rounding does not hold an arm that stands at one and moves along it.
JOINT_SLACK_RAD, WORKSPACE_SLACK_M = 1e-4, 1e-5


class Factor(NamedTuple):
    """A scale from 0 (stand still) to 1 (unchanged) and the reason in words, empty at 1."""

    scale: float
    reason: str


FULL = Factor(1.0, "")


def lengths(twist: Floats) -> tuple[float, float]:
    """Linear speed [m/s] and turn rate [rad/s] of a twist."""
    return math.hypot(twist[0], twist[1], twist[2]), math.hypot(twist[3], twist[4], twist[5])


def speed_factor(twist: Floats, linear: float, angular: float, why: str) -> Factor:
    """Keep the tip at or below `linear` [m/s] and `angular` [rad/s]; `why` says which limits these are."""
    speed, rate = lengths(twist)
    scale = min(1.0, linear / speed if speed > linear else 1.0, angular / rate if rate > angular else 1.0)
    return FULL if scale == 1.0 else Factor(scale, why)


def joint_factor(rates: Floats, positions: Floats, speeds: Floats, lower: Floats, upper: Floats) -> Factor:
    """Keep every joint at or below its speed [rad/s] and out of the ends of its range [rad]."""
    worst = FULL
    for i, (rate, position) in enumerate(zip(rates, positions, strict=True)):
        size = abs(rate)
        if size > speeds[i] and speeds[i] / size < worst.scale:
            worst = Factor(speeds[i] / size, f"joint {i + 1} would turn at {size:.2f} rad/s, near a singularity")
        room = max(0.0, JOINT_SLACK_RAD + (upper[i] - position if rate > 0.0 else position - lower[i]))
        if size * BRAKE_S > room and room / (size * BRAKE_S) < worst.scale:
            worst = Factor(room / (size * BRAKE_S), f"joint {i + 1} is {room:.3f} rad from the end of its range")
    return worst


def workspace_factor(position: Floats, twist: Floats, lower: Floats, upper: Floats) -> Factor:
    """Slow down towards the faces of the box; at a face only motion inwards or along it is left."""
    worst = FULL
    for i in range(3):
        speed = abs(twist[i])
        room = max(0.0, WORKSPACE_SLACK_M + (upper[i] - position[i] if twist[i] > 0.0 else position[i] - lower[i]))
        if speed * BRAKE_S > room and room / (speed * BRAKE_S) < worst.scale:
            worst = Factor(
                room / (speed * BRAKE_S), f"the tip is {room * 1e3:.1f} mm from the workspace's {'xyz'[i]} end"
            )
    return worst


def slew(previous: Floats, target: Floats, linear_step: float, angular_step: float) -> list[float]:
    """From `previous` towards `target`, straight, by no more than the steps [m/s, rad/s]; one factor for all six."""
    change = [t - p for t, p in zip(target, previous, strict=True)]
    linear, angular = lengths(change)
    part = min(1.0, linear_step / linear if linear > 0.0 else 1.0, angular_step / angular if angular > 0.0 else 1.0)
    if part == 1.0:
        return list(target)
    return [p + part * c for p, c in zip(previous, change, strict=True)]


def progress(twist: Floats, wanted: Floats, radius_m: float) -> float:
    """Which part (0..1) of the wanted twist is being made; `radius_m` weighs turning against moving."""
    weight = radius_m * radius_m
    along = sum(a * b for a, b in zip(twist[:3], wanted[:3], strict=True))
    along += weight * sum(a * b for a, b in zip(twist[3:], wanted[3:], strict=True))
    full = sum(b * b for b in wanted[:3]) + weight * sum(b * b for b in wanted[3:])
    return 1.0 if full < 1e-18 else min(1.0, max(0.0, along / full))
