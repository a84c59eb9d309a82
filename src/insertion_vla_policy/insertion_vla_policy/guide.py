"""Guided sampling: a new chunk continues the one before where that will already have been carried out.

Real-time chunking by inpainting (after Black, Galliker and Levine, "Real-time execution of action chunking flow
policies", 2025): in every step of the sampling, what the model takes for the actions is drawn towards the chunk before;
wholly in the rows that pass before the new chunk can arrive, less and less in the rows after them, and not at all where
the chunk before says nothing. A chunk that was not carried out, because the gate refused it, slowed the arm down or
held it, is not continued: the plan would run away from the arm, farther with every chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.geometry import Pose, apply_delta, interpolate, pose_delta
from numpy.typing import NDArray
from torch import Tensor

NS = 1_000_000_000
OFF_M = 0.002  # an arm that follows is within 0.1 mm of where its chunk says, and of 2 mm if that is 200 ms late
LEVERS = np.array([1.0] * 3 + [0.05] * 3)  # m: turning counts as moving at this distance from the tip


@dataclass(frozen=True, eq=False)
class Guide:
    """What the actions are drawn towards.

    Attributes:
        actions: (1, H, C) as the model sees them.
        weights: (1, H, C) in 0..1; 1: taken over as they are.
    """

    actions: Tensor
    weights: Tensor

    def clean(self, guess: Tensor) -> Tensor:
        """The guess of the clean actions (N, H, C), guided."""
        return guess + self.weights * (self.actions - guess)


@dataclass(frozen=True, eq=False)
class Planned:
    """A chunk that was given: observed at `stamp_ns`, poses from the anchor there on, one every 100 ms."""

    stamp_ns: int
    poses: tuple[Pose, ...]

    @staticmethod
    def of(stamp_ns: int, anchor: Pose, deltas: NDArray[np.float64]) -> Planned:
        """From its deltas (H, 6)."""
        return Planned(stamp_ns, (anchor, *(apply_delta(anchor, row) for row in deltas)))

    def continued(
        self, stamp_ns: int, anchor: Pose, taken_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """This chunk as seen from a later observation; None when it says nothing of the time after that.

        Nor is there anything to continue when the tool is not where this chunk says that it is then.

        Args:
            stamp_ns, anchor: of the later observation; the anchor is the measured pose.
            taken_s: after it, until which this chunk is taken over as it is [s].

        Returns:
            Deltas (H, 6) from the anchor, and weights (H,) that fall from 1 to 0 where this chunk ends.
        """
        passed = (stamp_ns - self.stamp_ns) / NS / DT_S
        left = HORIZON - passed
        if not 0.0 <= passed < HORIZON - 1:
            return None
        if np.linalg.norm(LEVERS * pose_delta(anchor, self._pose(passed))) > OFF_M:
            return None
        deltas, weights = np.zeros((HORIZON, 6)), np.zeros(HORIZON)
        taken = min(taken_s / DT_S, left)
        for row in range(HORIZON):
            at = passed + row + 1
            if at > HORIZON:
                break
            deltas[row] = pose_delta(anchor, self._pose(at))
            weights[row] = 1.0 if row + 1 <= taken else (left - row - 1) / max(left - taken, 1.0)
        return deltas, weights

    def _pose(self, rows: float) -> Pose:
        """Where it says the tool is, so many rows after its observation."""
        start = min(int(rows), HORIZON - 1)
        return interpolate(self.poses[start], self.poses[start + 1], rows - start)
