"""Chunks from recorded motion commands: each command is a step from where the one before it led.

A chunk at step t begins at the measured pose and chains the commands t, t+1, ...; nothing of it is measured later.
Steps too near to the end for a whole chunk get none.
"""

from __future__ import annotations

import numpy as np
from insertion_vla_core.geometry import Pose, apply_delta, log_so3, matrix_from_quaternion, pose_delta, pose_from_mm_deg
from numpy.typing import NDArray

HORIZON = 8


def motion_chunks(poses: NDArray[np.float64], commands: NDArray[np.float64], tool_frame: bool) -> NDArray[np.float64]:
    """Chunks (T - 7, 8, C) of commands (T, C).

    Args:
        poses: (T, 7) measured, m and quaternion xyzw.
        commands: (T, 6 or 7) x, y, z [mm], a, b, r [deg, Rx(a) Ry(b) Rz(r)], and the auxiliary channel if there is one.
        tool_frame: steps are in axes of the tool; else of the base.
    """
    steps = [pose_from_mm_deg(command[:6]) for command in commands]
    result = np.zeros((max(0, len(commands) - HORIZON + 1), HORIZON, commands.shape[1]))
    for start, rows in enumerate(result):
        anchor = Pose(poses[start, :3], matrix_from_quaternion(poses[start, 3:]))
        target = anchor
        for row, step in zip(rows, steps[start : start + HORIZON], strict=True):
            target = target @ step if tool_frame else apply_delta(target, _base_delta(step))
            row[:6] = pose_delta(anchor, target)
        rows[:, 6:] = commands[start : start + HORIZON, 6:]
    return result


def _base_delta(step: Pose) -> NDArray[np.float64]:
    return np.concatenate([step.position, log_so3(step.rotation)])
