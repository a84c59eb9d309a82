"""Turns a wanted twist into an allowed one: scaled down by one factor, then approached within the acceleration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import Arm, NoSolution, twist_to_joint_rates
from insertion_vla_core.limits import Limits
from insertion_vla_core.speed import FULL, Factor, joint_factor, progress, slew, speed_factor, workspace_factor

STANDSTILL = 0.02  # a joint or workspace factor below this means that the arm cannot go on this way
AHEAD_S = 0.1  # how far ahead the joint speeds are looked at
AHEAD_GROWTH = 0.5  # by how much of its limit a joint's speed may change until then
AHEAD_CUT, AHEAD_TRIES = 0.3, 3  # slower by this factor, and again, where it would change by more
RADIUS_M = 0.05  # turning counts as moving at this distance from the tip


class Limited(NamedTuple):
    """An allowed twist.

    Attributes:
        twist: (6,) m/s, rad/s.
        factor: What the limits leave of the wanted twist, and why.
        rate: Part of the wanted motion that is being made, acceleration included.
        blocked: The arm cannot go on this way: a singularity, the end of a joint or of the workspace.
    """

    twist: list[float]
    factor: Factor
    rate: float
    blocked: bool


class Limiter:
    """Holds what does not change from cycle to cycle.

    Args:
        limits: In force until replaced.
        arm: Kinematics; its own joint speed limits apply besides those of `limits`.
        tool: Tool pose in the flange frame.
    """

    def __init__(self, limits: Limits, arm: Arm, tool: Pose) -> None:
        self._arm, self._tool = arm, tool
        self._lower: list[float] = arm.lower_rad.tolist()
        self._upper: list[float] = arm.upper_rad.tolist()
        self.limits = limits

    @property
    def limits(self) -> Limits:
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._joint_speeds: list[float] = np.minimum(self._arm.speed_rad_s, limits.joint_speed).tolist()

    def limit(
        self,
        wanted: Sequence[float],
        previous: Sequence[float],
        q: Sequence[float],
        pose: Pose,
        speeds: tuple[float, float, str],
        dt_s: float,
    ) -> Limited:
        """The allowed twist for this cycle.

        Args:
            wanted: (6,) m/s, rad/s; its direction is kept.
            previous: (6,) what was sent in the cycle before.
            q: (n,) measured joints [rad].
            pose: Measured tool pose.
            speeds: Largest tip speed [m/s], largest turn rate [rad/s], and what they are called.
            dt_s: Since the cycle before.
        """
        factor = speed_factor(wanted, *speeds)
        others = [
            self._joints(wanted, q),
            workspace_factor(pose.position.tolist(), wanted, self._limits.workspace_min, self._limits.workspace_max),
        ]
        blocked = False
        for other in others:
            if other.scale < factor.scale:
                factor, blocked = other, other.scale < STANDSTILL
        scaled = [factor.scale * value for value in wanted]
        twist = slew(
            previous, scaled, self._limits.linear_acceleration * dt_s, self._limits.angular_acceleration * dt_s
        )
        return Limited(twist, factor, factor.scale * progress(twist, scaled, RADIUS_M), blocked)

    def _joints(self, wanted: Sequence[float], q: Sequence[float]) -> Factor:
        """Joint speeds now, and a moment ahead: towards a singularity they grow faster than the arm can react."""
        if not any(wanted):
            return FULL
        try:
            rates = self._rates(wanted, q)
        except NoSolution as error:
            return Factor(0.0, str(error))
        factor = joint_factor(rates, q, self._joint_speeds, self._lower, self._upper)
        for _ in range(AHEAD_TRIES):
            step_s = factor.scale * AHEAD_S
            try:
                ahead = self._rates(wanted, [p + step_s * rate for p, rate in zip(q, rates, strict=True)])
            except NoSolution as error:
                factor = Factor(AHEAD_CUT * factor.scale, str(error))
                continue
            growth = max(
                factor.scale * abs(later - now) / top
                for now, later, top in zip(rates, ahead, self._joint_speeds, strict=True)
            )
            if growth <= AHEAD_GROWTH:
                return factor
            factor = Factor(AHEAD_CUT * factor.scale, "the joints would have to turn ever faster, near a singularity")
        return factor

    def _rates(self, twist: Sequence[float], q: Sequence[float]) -> list[float]:
        rates: list[float] = twist_to_joint_rates(self._arm, q, twist, self._tool).tolist()
        return rates
