"""Arguments of the Meca500 text protocol: counted, finite, in range, or refused with what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from insertion_vla_sim.controller_config import Vector

Replies = list[str]
Handler = Callable[[list[str]], Replies]


class ArgumentError(ValueError):
    """Arguments of the right syntax that the command cannot take; the sentence says why."""


@dataclass(frozen=True)
class Setting:
    """A queued motion setting: its bounds on the wire, where it is kept, and the code of its getter."""

    low: float
    high: float
    field: str
    scale: float
    get_code: int


SETTINGS = {
    "JointVel": Setting(0.001, 100.0, "joint_speed", 0.01, 2152),
    "JointVelLimit": Setting(0.001, 150.0, "joint_speed_limit", 0.01, 2169),
    "JointAcc": Setting(0.001, 150.0, "joint_acceleration", 0.01, 2153),
    "CartLinVel": Setting(0.001, 5000.0, "linear_speed", 0.001, 2154),
    "CartAngVel": Setting(0.001, 1000.0, "angular_speed", math.pi / 180.0, 2155),
    "CartAcc": Setting(0.001, 600.0, "cartesian_acceleration", 0.01, 2156),
    "Blending": Setting(0.0, 100.0, "blending", 1.0, 2150),
    "VelTimeout": Setting(0.001, 1.0, "velocity_timeout_s", 1.0, 2151),
}


def floats(arguments: Sequence[str], count: int) -> Vector:
    """Exactly `count` finite numbers.

    Raises:
        ArgumentError: another count, or something else than numbers.
    """
    if len(arguments) != count:
        raise ArgumentError(f"expected {count} argument(s), got {len(arguments)}")
    try:
        values = np.array([float(argument) for argument in arguments])
    except ValueError as error:
        raise ArgumentError(f"expected numbers, got {', '.join(arguments)}") from error
    if not np.isfinite(values).all():
        raise ArgumentError(f"expected finite numbers, got {', '.join(arguments)}")
    return values


def within(value: float, low: float, high: float, what: str) -> float:
    """The value, if it is in [low, high].

    Raises:
        ArgumentError: it is not.
    """
    if not low <= value <= high:
        raise ArgumentError(f"expected {what} from {low:g} to {high:g}, got {value:g}")
    return value


def flag(arguments: Sequence[str]) -> bool:
    """One argument, 0 or 1."""
    return bool(within(float(floats(arguments, 1)[0]), 0.0, 1.0, "0 or 1"))
