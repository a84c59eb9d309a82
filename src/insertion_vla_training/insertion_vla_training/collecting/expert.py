"""Variety for training data: where the arm starts, how well the expert knows the mouth, how well it is followed.

The disturbance is that of DART: what is executed is the expert's command plus a slowly wandering error in proportion
to the motion, and what is recorded is the expert's own answer at each state it is brought to. A policy trained on it
has seen the way back from its own small errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from insertion_vla_core.chunk import DT_S, Chunk
from insertion_vla_sim.lockstep import Lockstep
from insertion_vla_sim.privileged import PrivilegedPolicy

ARM_LENGTH_M = 0.1  # a turn moves the needle's tip about this far away from the axis it turns on
WANDER_S = 0.4  # time constant of the disturbance


@dataclass(frozen=True)
class Variety:
    """How much episodes differ beyond their seeds' scenes; zeros are off.

    Attributes:
        aim_error_m: the expert's mouth is off sideways by up to this much [m], so that it has to search.
        start_spread_rad: every joint starts off its seed's angle by up to this much [rad].
        disturbance: length of the executed velocity's error (r.m.s.) as a share of that velocity.
    """

    aim_error_m: float = 0.0
    start_spread_rad: float = 0.0
    disturbance: float = 0.0


class Disturbance:
    """Chunks as they are followed: with an Ornstein-Uhlenbeck error of translation and rotation."""

    def __init__(self, share: float, rng: np.random.Generator) -> None:
        self._share, self._rng = share, rng
        self._error = rng.normal(size=6)

    def __call__(self, chunk: Chunk) -> Chunk:
        """The chunk to follow in place of this one."""
        keep = float(np.exp(-DT_S / WANDER_S))
        self._error = keep * self._error + np.sqrt(1.0 - keep**2) * self._rng.normal(size=6)
        way_m = np.linalg.norm(chunk.deltas[:, :3], axis=1) + ARM_LENGTH_M * np.linalg.norm(chunk.deltas[:, 3:], axis=1)
        scale = np.repeat([1.0, 0.5 / ARM_LENGTH_M], 3) / np.sqrt(3.0)
        return replace(chunk, deltas=chunk.deltas + self._share * way_m[:, None] * scale * self._error)


def start_episode(play: Lockstep, seed: int, variety: Variety, rng: np.random.Generator) -> None:
    """Put the arm and the expert of a new episode where the variety wants them."""
    if variety.start_spread_rad:
        play.world.place(play.world.q + rng.uniform(-1.0, 1.0, 6) * variety.start_spread_rad)
    if variety.aim_error_m:
        error_m = float(rng.uniform(0.0, variety.aim_error_m))
        play.policy = PrivilegedPolicy(play.world, play.colour, seed, error_m)
