"""What the gate says: its states, the decision of one control cycle, and the figures behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class State(IntEnum):
    """The states of ArmState.msg, same numbers."""

    OFF = 0
    HOLD = 1
    MOVING = 2
    SLOWED = 3
    RETRACTING = 4
    FAULT = 5


MOVING_STATES = (State.MOVING, State.SLOWED)


class Refused(Exception):
    """A person's request cannot be met now; the sentence says why."""


@dataclass(frozen=True, eq=False)
class Decision:
    """What to send to the robot until the next decision.

    Attributes:
        state: Of the gate.
        twist: (6,) float64 [m/s, rad/s] of the tool tip, base axes; exactly zero in OFF, HOLD and FAULT.
        speed_scale: 0..1, what the limits leave of the wanted speed.
        reason: One sentence; empty while moving freely.
    """

    state: State
    twist: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    speed_scale: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class RetractReport:
    """How the newest retract went."""

    complete: bool
    travelled_m: float
    message: str


@dataclass(frozen=True)
class GateStatus:
    """Figures for ArmState.msg. Ages are NaN while there is nothing to be old."""

    force_n: float
    force_age_s: float
    robot_age_s: float
    chunk_age_s: float
    session: str
    chunks_accepted: int
    chunks_rejected: int
    last_rejection: str
    missed_deadlines: int
