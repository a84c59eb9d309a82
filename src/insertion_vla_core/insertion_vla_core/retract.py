"""The operator's retract: back along the needle, slowly, a bounded way, no further once the force rises."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from insertion_vla_core.decision import Refused, RetractReport
from insertion_vla_core.geometry import Pose, pose_delta
from insertion_vla_core.limiter import Limited, Limiter
from insertion_vla_core.limits import Limits

LEAST_M = 0.001
DONE_M = 1e-4  # this close to the distance counts as there
GAIN_PER_S = 5.0
SPARE_S = 3.0  # for speeding up, slowing down and the last tenths of a millimetre


class Retract:
    """One retract, from the pose and force measured when it was asked for.

    Args:
        start: Measured tool pose; the way leads along its -z axis.
        distance_m: How far.
        force_n: Newest axial force.
        limits: Speeds and allowed rise of force.
        now_s: Steady time.

    Raises:
        Refused: the distance is out of bounds.
    """

    def __init__(self, start: Pose, distance_m: float, force_n: float, limits: Limits, now_s: float) -> None:
        longest = limits.retract_distance
        if not LEAST_M <= distance_m <= longest:
            raise Refused(f"expected a distance from {LEAST_M:g} to {longest:g} m, got {distance_m:g} m")
        self._start = start
        self._axis: NDArray[np.float64] = -start.rotation[:, 2]
        self._distance_m = distance_m
        self._limits = limits
        self._floor_n = abs(force_n)
        self._until_s = now_s + distance_m / limits.retract_speed * 1.5 + SPARE_S
        self.travelled_m = 0.0

    def robot(self, pose: Pose) -> None:
        """Take the newest measured tool pose."""
        self.travelled_m = float(self._axis @ (pose.position - self._start.position))

    def force(self, force_n: float) -> str:
        """Take one force sample [N]; why to stop now, or empty."""
        size = abs(force_n)
        if math.isnan(size):
            return ""
        self._floor_n = min(self._floor_n, size)
        if size <= self._floor_n + self._limits.retract_force_rise:
            return ""
        return f"force rose from {self._floor_n:.2f} to {size:.2f} N while retracting"

    def report(self, message: str) -> RetractReport:
        """How it went, told when it is over."""
        complete = self.travelled_m >= self._distance_m - DONE_M
        return RetractReport(complete, self.travelled_m, message)

    def step(
        self, limiter: Limiter, previous: Sequence[float], q: Sequence[float], pose: Pose, now_s: float, dt_s: float
    ) -> Limited | str:
        """The allowed twist for this cycle, or why the retract is over.

        Args:
            limiter: Scales to the limits.
            previous: (6,) twist of the cycle before [m/s, rad/s].
            q: (n,) measured joints [rad].
            pose: Measured tool pose.
            now_s: Steady time.
            dt_s: Since the cycle before.
        """
        if self.travelled_m >= self._distance_m - DONE_M:
            return f"retracted {self.travelled_m * 1e3:.1f} mm"
        if now_s > self._until_s:
            return (
                f"the robot did not follow: {self.travelled_m * 1e3:.1f} of {self._distance_m * 1e3:.1f} mm "
                "within the time expected"
            )
        speeds = self._limits.retract_speed, self._limits.contact_angular_speed, "retracting"
        limited = limiter.limit(self._wanted(pose), previous, q, pose, speeds, dt_s)
        return limited.factor.reason if limited.blocked else limited

    def _wanted(self, pose: Pose) -> list[float]:
        """Twist along the needle, slower near the end, and back onto its line; not yet limited."""
        speed = min(self._limits.retract_speed, GAIN_PER_S * (self._distance_m - self.travelled_m))
        line = Pose(self._start.position + self.travelled_m * self._axis, self._start.rotation)
        wanted = GAIN_PER_S * pose_delta(pose, line)
        wanted[:3] += speed * self._axis
        result: list[float] = wanted.tolist()
        return result
