"""What the robot controller watches while it moves: the work zone ahead and the load of the joints."""

from __future__ import annotations

import numpy as np
from insertion_vla_core.kinematics import Arm, forward

from .controller_config import MotionSettings, Vector, WorkZone

# A watched point may be this far (m) outside the work zone before it counts, so that rounding never trips it.
TOLERANCE_M = 1e-6
# The point ahead includes this much motion (s) before braking starts.
REACTION_S = 0.005


class ZoneWatch:
    """Finds a breach of the work zone before it happens.

    An arm that starts outside may move inwards: only getting farther out than before is a breach.
    """

    def __init__(self, arm: Arm, zone: WorkZone) -> None:
        self._arm, self._zone = arm, zone
        self._excess_m = 0.0

    def start(self, q: Vector) -> None:
        """Take joint angles (6,) rad as the place to start from."""
        self._excess_m = self._zone.excess(forward(self._arm, q))

    def breach(self, q: Vector, rates: Vector, braking: float) -> float | None:
        """Metres outside of the zone where the arm could come to rest, None while that is no breach.

        Args:
            q: (6,) rad.
            rates: (6,) rad/s asked for.
            braking: rad/s² that the fastest joint is sure to brake with.
        """
        if self._zone.unlimited or not rates.any():
            return None
        ahead = q + rates * (float(np.abs(rates).max()) / (2.0 * braking) + REACTION_S)
        excess_m = self._zone.excess(forward(self._arm, ahead))
        if excess_m <= self._excess_m + TOLERANCE_M:
            self._excess_m = min(self._excess_m, excess_m)
            return None
        return excess_m

    def accept(self, excess_m: float) -> None:
        """Go on outside: the next breach is one that is farther out."""
        self._excess_m = excess_m


class LoadWatch:
    """Edges of the torque limits."""

    def __init__(self) -> None:
        self._overloaded = False

    def edge(self, load: Vector, settings: MotionSettings) -> bool | None:
        """True when a joint's load (6,), fraction of rated, passes its limit, False when all are back, else None."""
        overloaded = bool((np.abs(load) > settings.torque_limits).any())
        changed, self._overloaded = overloaded != self._overloaded, overloaded
        return overloaded if changed else None
