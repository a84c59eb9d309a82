"""Rows of an action chunk for the scripted expert: straight to a pose, or along the tube's axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.geometry import Pose, exp_so3, pose_delta

_SUBSTEPS = 10
CENTRING_S = 0.15  # time constant with which a lateral error is taken out while moving along the axis


@dataclass(frozen=True)
class Pace:
    """How fast: [m/s], [rad/s], and the braking before the end of the way [m/s^2]."""

    linear: float
    angular: float = 0.35
    braking: float = 0.04


def aligned(tool: Pose, axis: np.ndarray) -> np.ndarray:
    """The rotation (3,3) that points the needle along `axis` (3,) with the least turn from `tool`."""
    needle = tool.rotation[:, 2]
    turn = np.cross(needle, axis)
    sine = float(np.linalg.norm(turn))
    if sine < 1e-9:
        return tool.rotation
    return exp_so3(turn / sine * np.arctan2(sine, float(needle @ axis))) @ tool.rotation


def distances_travelled(length: float, pace: Pace, start_speed: float) -> np.ndarray:
    """Way covered at the end of each row (HORIZON,), starting at a speed, never beyond `length` [m]."""
    travelled, speed, step = 0.0, start_speed, DT_S / _SUBSTEPS
    rows = np.empty(HORIZON)
    for row in range(HORIZON):
        for _ in range(_SUBSTEPS):
            wanted = min(pace.linear, float(np.sqrt(2.0 * pace.braking * max(length - travelled, 0.0))))
            speed = min(wanted, speed + pace.braking * step)
            travelled = min(length, travelled + speed * step)
        rows[row] = travelled
    return rows


def rows_to(tool: Pose, goal: Pose, pace: Pace, start_speed: float) -> np.ndarray:
    """Rows (HORIZON, 6) straight to `goal`, position and rotation together; the slower one sets the pace."""
    delta = pose_delta(tool, goal)
    way = max(float(np.linalg.norm(delta[:3])), float(np.linalg.norm(delta[3:])) * pace.linear / pace.angular)
    if way < 1e-9:
        return np.zeros((HORIZON, 6))
    return distances_travelled(way, pace, start_speed)[:, None] / way * delta


def rows_along(tool: Pose, origin: np.ndarray, axis: np.ndarray, depth: float, pace: Pace, speed: float) -> np.ndarray:
    """Rows (HORIZON, 6) to `depth` [m] on the line through `origin` along `axis`, taking out the lateral error."""
    away = tool.position - origin
    here = float(away @ axis)
    lateral = away - here * axis
    way = distances_travelled(abs(depth - here), pace, speed)
    fade = np.exp(-DT_S * np.arange(1, HORIZON + 1) / CENTRING_S)
    turn = pose_delta(tool, Pose(tool.position, aligned(tool, axis)))[3:]
    rows = np.empty((HORIZON, 6))
    rows[:, :3] = np.sign(depth - here) * way[:, None] * axis + (fade - 1.0)[:, None] * lateral
    rows[:, 3:] = (1.0 - fade)[:, None] * turn
    return rows
