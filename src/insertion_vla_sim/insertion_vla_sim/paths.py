"""Position-mode moves of the robot controller: a geometric path and how fast to run along it.

A path is parametrised by s in [0, 1]. The speed along it follows a trapezoid that is not planned ahead but
integrated every tick, so that a pause, a resume and an abort in mid-path are the same rule with another target speed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol

import numpy as np
from insertion_vla_core.geometry import Pose, exp_so3, log_so3
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class Path(Protocol):
    """What a move looks like to the runner: how fast s may change, in 1/s and 1/s²."""

    speed: float
    acceleration: float


@dataclass(frozen=True, eq=False)
class JointPath:
    """Straight line in joint space.

    Attributes:
        start: (6,) rad.
        goal: (6,) rad.
        speed: largest ds/dt in 1/s.
        acceleration: largest d²s/dt² in 1/s².
    """

    start: Vector
    goal: Vector
    speed: float
    acceleration: float

    @staticmethod
    def plan(start: Vector, goal: Vector, joint_speed: Vector, joint_acceleration: Vector) -> JointPath:
        """Plan a move whose slowest joint decides; limits (6,) in rad/s and rad/s²."""
        travel = np.maximum(np.abs(goal - start), 1e-9)
        return JointPath(
            start.copy(), goal.copy(), float((joint_speed / travel).min()), float((joint_acceleration / travel).min())
        )

    def at(self, s: float) -> Vector:
        """Joint angles (6,) rad at s."""
        return self.start + s * (self.goal - self.start)


@dataclass(frozen=True, eq=False)
class LinePath:
    """Straight line of the tool point with the shortest rotation, both uniform in s.

    Attributes:
        start: tool pose in the base frame.
        goal: tool pose in the base frame.
        rotation: (3,) rotation vector from start to goal, base axes.
        speed: largest ds/dt in 1/s.
        acceleration: largest d²s/dt² in 1/s².
    """

    start: Pose
    goal: Pose
    rotation: Vector
    speed: float
    acceleration: float

    @staticmethod
    def plan(start: Pose, goal: Pose, speed: tuple[float, float], acceleration: tuple[float, float]) -> LinePath:
        """Plan a move; speed and acceleration are (linear m/s[²], angular rad/s[²])."""
        rotation = log_so3(goal.rotation @ start.rotation.T)
        length = max(float(np.linalg.norm(goal.position - start.position)), 1e-9)
        angle = max(float(np.linalg.norm(rotation)), 1e-9)
        return LinePath(
            start,
            goal,
            rotation,
            min(speed[0] / length, speed[1] / angle),
            min(acceleration[0] / length, acceleration[1] / angle),
        )

    def at(self, s: float) -> Pose:
        """Tool pose in the base frame at s."""
        position = self.start.position + s * (self.goal.position - self.start.position)
        return Pose(position, exp_so3(s * self.rotation) @ self.start.rotation)

    def twist(self, rate: float) -> Vector:
        """Tool twist (6,) [m/s, rad/s] in base axes for ds/dt = rate."""
        return np.concatenate([self.goal.position - self.start.position, self.rotation]) * rate


@dataclass
class Runner:
    """Progress along one path."""

    path: JointPath | LinePath
    s: float = 0.0
    rate: float = 0.0
    arrived: bool = field(default=False)

    def advance(self, dt_s: float, run: bool) -> None:
        """Move on by dt_s; with run False decelerate along the path instead."""
        acceleration = self.path.acceleration
        remaining = 1.0 - self.s
        change = acceleration * dt_s
        if run:
            # The braking curve is followed in steps, so that a step may need a little more than the nominal change.
            target = min(self.path.speed, sqrt(2.0 * acceleration * max(remaining, 0.0)))
            self.rate = min(max(target, self.rate - 1.2 * change), self.rate + change)
        else:
            self.rate = max(self.rate - change, 0.0)
        self.s += self.rate * dt_s
        if 1.0 - self.s <= 0.5 * acceleration * dt_s * dt_s:
            self.s, self.rate, self.arrived = 1.0, 0.0, True
