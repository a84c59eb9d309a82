"""Chunks: what an expert commands, one horizon of tool poses, and the checks every chunk must pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insertion_vla_core.geometry import Pose, apply_delta

HORIZON = 8  # rows of a chunk
DT_S = 0.1  # s between rows
DT_TOLERANCE_S = 1e-3  # float32 on the wire; anything larger is another contract
AUX_RANGE = (-0.5, 2.5)  # rounds to 0 approach, 1 inserting or near contact, 2 finished
ROTATION_TOLERANCE = 1e-4


class ChunkRejected(ValueError):
    """The chunk is wrong or contradicts what is being done; the sentence says what was expected and what came."""


class ChunkDropped(ChunkRejected):
    """The chunk came at the wrong time (late, duplicate, out of order, not permitted now): it is skipped.

    Expected now and then on a live network, so it does not stop the arm: if nothing better comes, the queue runs empty.
    """


@dataclass(frozen=True, eq=False)
class Chunk:
    """Commanded tool poses for the next horizon steps, cumulative against the anchor.

    Row k is the pose at stamp + (k + 1) * dt: p = p_anchor + d, R = exp([r]) R_anchor, base axes.

    Attributes:
        session: Publisher's id, one per activation: a second publisher is seen by it.
        sequence: Rises by one with each chunk of a session.
        goal: The run_insertion goal this chunk serves.
        stamp_ns: Observation time t0.
        anchor: Measured tool pose at t0, base frame.
        dt_s: Time between rows.
        deltas: (H, 6) float64, [m, m, m, rad, rad, rad].
        aux: (H,) float64, 0 approach, 1 inserting or near contact, 2 finished.
        policy_id: Expert name and checkpoint hash.
        status: What the expert is doing, for people.
        features_stamp_ns: Oldest image behind the features used; 0 if none.
        force_stamp_ns: Newest force sample used; 0 if none.
        inference_s: Time from observation to chunk.
    """

    session: str
    sequence: int
    goal: str
    stamp_ns: int
    anchor: Pose
    dt_s: float
    deltas: NDArray[np.float64]
    aux: NDArray[np.float64]
    policy_id: str = ""
    status: str = ""
    features_stamp_ns: int = 0
    force_stamp_ns: int = 0
    inference_s: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "deltas", np.asarray(self.deltas, dtype=np.float64))
        object.__setattr__(self, "aux", np.asarray(self.aux, dtype=np.float64))

    def targets(self) -> list[Pose]:
        """The commanded tool poses, one per row, base frame."""
        return [apply_delta(self.anchor, row) for row in self.deltas]


def check_chunk(chunk: Chunk) -> None:
    """Check everything that can be told from the chunk alone.

    Raises:
        ChunkRejected: no session, a wrong shape or step, a number that is not finite, an anchor that is no pose.
    """
    if not chunk.session:
        raise ChunkRejected("expected a session id, got an empty one: give each activation of the publisher its own")
    if chunk.sequence < 0:
        raise ChunkRejected(f"expected a sequence number from 0 up, got {chunk.sequence}")
    if chunk.stamp_ns <= 0:
        raise ChunkRejected(f"expected the observation time as stamp, got {chunk.stamp_ns} ns")
    if not abs(chunk.dt_s - DT_S) <= DT_TOLERANCE_S:
        raise ChunkRejected(f"expected rows {DT_S} s apart, got {chunk.dt_s} s")
    if chunk.deltas.shape != (HORIZON, 6):
        raise ChunkRejected(f"expected deltas of shape ({HORIZON}, 6), got {chunk.deltas.shape}")
    if chunk.aux.shape != (HORIZON,):
        raise ChunkRejected(f"expected an auxiliary channel of shape ({HORIZON},), got {chunk.aux.shape}")
    finite = np.isfinite(chunk.deltas)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise ChunkRejected(f"expected finite deltas, got {chunk.deltas[row, column]} in row {row}, column {column}")
    turn = float(np.abs(chunk.deltas[:, 3:]).max())
    if turn > math.pi:
        raise ChunkRejected(f"expected rotation vectors up to pi rad, got {turn:.3g}: degrees instead of radians?")
    low, high = AUX_RANGE
    if not ((chunk.aux >= low) & (chunk.aux <= high)).all():
        raise ChunkRejected(f"expected auxiliary values from {low} to {high}, got {chunk.aux.tolist()}")
    if not np.isfinite(chunk.anchor.position).all():
        raise ChunkRejected(f"expected a finite anchor position, got {chunk.anchor.position.tolist()}")
    rotation = chunk.anchor.rotation
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if not error <= ROTATION_TOLERANCE or np.linalg.det(rotation) < 0.0:
        raise ChunkRejected(f"expected a proper rotation as anchor, got one that is off by {error:.3g}")


def hold_chunk(
    session: str, sequence: int, goal: str, stamp_ns: int, anchor: Pose, aux: float = 0.0, status: str = ""
) -> Chunk:
    """A chunk that keeps the tool where it was measured, for experts that have nothing to command yet."""
    return Chunk(
        session, sequence, goal, stamp_ns, anchor, DT_S, np.zeros((HORIZON, 6)), np.full(HORIZON, aux), status=status
    )
