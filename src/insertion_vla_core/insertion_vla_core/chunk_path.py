"""The path through the rows of a chunk: linear in position, geodesic in rotation, from the anchor to the last row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insertion_vla_core.chunk import Chunk
from insertion_vla_core.geometry import Pose, exp_so3, pose_delta


class ChunkPath:
    """A chunk laid out for interpolation.

    Attributes:
        chunk: What it was made from.
        start_ns: Path time of the anchor.
        velocities: (H, 6) m/s and rad/s of each segment in base axes; segment k leads to row k.
    """

    def __init__(self, chunk: Chunk, start_ns: int) -> None:
        self.chunk = chunk
        self.start_ns = start_ns
        self._poses = [chunk.anchor, *chunk.targets()]
        pairs = zip(self._poses[:-1], self._poses[1:], strict=True)
        self.velocities: NDArray[np.float64] = np.array([pose_delta(a, b) for a, b in pairs]) / chunk.dt_s
        self._dt_ns = chunk.dt_s * 1e9

    def at(self, path_ns: int) -> tuple[Pose, NDArray[np.float64], float]:
        """Pose, velocity (6,) and auxiliary value at a path time; at rest at the ends beyond them."""
        rows = (path_ns - self.start_ns) / self._dt_ns
        count = len(self.velocities)
        if rows < 0.0:
            return self._poses[0], np.zeros(6), float(self.chunk.aux[0])
        if rows >= count:
            return self._poses[-1], np.zeros(6), float(self.chunk.aux[-1])
        k = int(rows)
        velocity = self.velocities[k]
        moved = velocity * ((rows - k) * self.chunk.dt_s)
        start = self._poses[k]
        pose = Pose(start.position + moved[:3], exp_so3(moved[3:]) @ start.rotation)
        return pose, velocity, float(self.chunk.aux[k])

    def positions(self) -> NDArray[np.float64]:
        """Positions (H, 3) [m] of the rows, base frame."""
        return np.array([pose.position for pose in self._poses[1:]])
