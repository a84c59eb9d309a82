"""Do the commanded poses move smoothly: from row to row of a chunk, and from one chunk to the next?

A chunk's row k is the tool pose at t0 + (k + 1) dt against the anchor: p = p_a + d, R = exp([r]) R_a.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from insertion_vla_core.contract import ActionSpec
from numpy.typing import NDArray

from insertion_vla_training.inspection.check import Check, judged, not_judged

POSE = ("dx", "dy", "dz", "rx", "ry", "rz")
# By name: unit, what the command does, and where.
JUMPS = {
    "step": ("m", "moves", "from row to row of a chunk"),
    "step_turn": ("rad", "turns", "from row to row of a chunk"),
    "jump": ("m", "moves", "from one chunk to the next"),
    "jump_turn": ("rad", "turns", "from one chunk to the next"),
}
LATE_ROWS = 2  # after so many rows the arm may have stood still in between
NS = 1e9
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Jumps:
    """How far the command moves, chunk by chunk (n,), in the order of arrival.

    Attributes:
        stamps: ns.
        step, step_turn: the largest step [m, rad] from row to row, the first from the anchor.
        jump, jump_turn: [m, rad] from where the chunk before said the tool would be one dt later to where this one
            says; NaN for the first chunk of a session and for one that came late.
    """

    stamps: NDArray[np.int64]
    step: Array
    step_turn: Array
    jump: Array
    jump_turn: Array


def measure_jumps(chunks: dict[str, NDArray[Any]], action: ActionSpec) -> Jumps:
    """Steps and jumps of recorded chunks (`Store.chunks`); all NaN where their rows are no poses."""
    stamps = np.asarray(chunks["stamps"], np.int64)
    if action.channels[:6] != POSE:
        return Jumps(stamps, *(np.full(len(stamps), np.nan) for _ in range(4)))
    deltas = np.asarray(chunks["data"], np.float64)[:, :, :6]
    anchors = np.asarray(chunks["anchor"], np.float64)
    count = len(stamps)
    path = np.concatenate([np.zeros((count, 1, 6)), deltas], axis=1)
    turns = _quaternions(path[:, :, 3:])
    step = np.linalg.norm(np.diff(path[:, :, :3], axis=1), axis=2)
    step_turn = _angle(turns[:, 1:], turns[:, :-1])
    jump, jump_turn = _between(stamps, np.asarray(chunks["sequence"]), path, turns, anchors, action.dt_s)
    return Jumps(stamps, step.max(axis=1, initial=0.0), step_turn.max(axis=1, initial=0.0), jump, jump_turn)


def _between(
    stamps: NDArray[np.int64], sequence: NDArray[Any], path: Array, turns: Array, anchors: Array, dt_s: float
) -> tuple[Array, Array]:
    count, rows = path.shape[:2]
    jump, jump_turn = np.full(count, np.nan), np.full(count, np.nan)
    if count < 2:
        return jump, jump_turn
    # Where on the older path the first row of the newer one lies, in rows.
    at = (stamps[1:] - stamps[:-1]) / NS / dt_s + 1.0
    rising = np.asarray(sequence[1:], np.int64) > np.asarray(sequence[:-1], np.int64)
    follows = rising & (at >= 1.0) & (at <= min(LATE_ROWS + 1, rows - 1))
    low = np.clip(np.floor(at).astype(int), 0, rows - 2)
    part = np.clip(at - low, 0.0, 1.0)[:, None]
    older = np.arange(count - 1)
    expected = (1.0 - part) * path[older, low, :3] + part * path[older, low + 1, :3] + anchors[:-1, :3]
    distance = np.linalg.norm(path[1:, 1, :3] + anchors[1:, :3] - expected, axis=1)
    nearest = np.clip(np.rint(at).astype(int), 0, rows - 1)
    angle = _angle(_times(turns[1:, 1], anchors[1:, 3:]), _times(turns[older, nearest], anchors[:-1, 3:]))
    jump[1:], jump_turn[1:] = np.where(follows, distance, np.nan), np.where(follows, angle, np.nan)
    return jump, jump_turn


def _quaternions(vectors: Array) -> Array:
    """Quaternions xyzw (..., 4) of rotation vectors (..., 3)."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.concatenate([0.5 * np.sinc(angle / (2.0 * np.pi)) * vectors, np.cos(0.5 * angle)], axis=-1)


def _times(a: Array, b: Array) -> Array:
    """Products of quaternions xyzw (n, 4): first b, then a."""
    vector = a[:, 3:] * b[:, :3] + b[:, 3:] * a[:, :3] + np.cross(a[:, :3], b[:, :3])
    return np.concatenate([vector, a[:, 3:] * b[:, 3:] - np.sum(a[:, :3] * b[:, :3], axis=1, keepdims=True)], axis=1)


def _angle(a: Array, b: Array) -> Array:
    """Angles [rad] between quaternions (..., 4)."""
    return 2.0 * np.arccos(np.clip(np.abs(np.sum(a * b, axis=-1)), 0.0, 1.0))


def check_jump(name: str, values: Array, times_s: Array, bound: float) -> Check:
    """The largest step or jump of an episode.

    Args:
        name: a key of JUMPS.
        values: (n,) of the chunks, NaN for none.
        times_s: (n,) since the start of the episode.
        bound: what the data set and the gate's limits say is usual.
    """
    unit, does, where = JUMPS[name]
    if not np.isfinite(values).any():
        return not_judged(name, "action", f"there is nothing to compare {where}")
    at = int(np.nanargmax(values))
    worst = float(values[at])
    return judged(
        name, "action", worst, (None, bound), unit,
        f"the command {does} by up to {1e3 * worst:.3g} m{unit} {where}, {times_s[at]:.1f} s after the start",
        "the policy or the teleoperation that gave it jumps; leave the episode out or cut it",
    )  # fmt: skip
