"""Which publisher's chunks are followed, and what a chunk may ask for.

One session at a time: a second one beside it stops the arm, a new one takes over once the old one has gone silent.
"""

from __future__ import annotations

import math

from insertion_vla_core.chunk import Chunk, ChunkRejected
from insertion_vla_core.chunk_path import ChunkPath
from insertion_vla_core.executor import ChunkExecutor, OtherSession
from insertion_vla_core.geometry import Pose, pose_delta
from insertion_vla_core.limits import Limits

SESSION_S = 1.0  # a session that is silent for this long has ended
REJECT_BEYOND = 2.0  # times a limit; up to there a path is scaled down
CONTACT_AUX = 0.5  # auxiliary values from here on mean contact, or nearly
# Row 0 also makes up for what the tool is away from its path: without this, half a millimetre would be too fast a step
# near contact, and a tool that was pushed aside could never be brought back.
ANCHOR_SLACK_M, ANCHOR_SLACK_RAD = 0.001, 0.02


class OutsideWorkspace(ChunkRejected):
    """The path leads out of the workspace."""


class ChunkSource:
    """Watches the sessions behind the chunks, and counts.

    Attributes:
        accepted, rejected: Chunks so far.
        last_rejection: Why the newest rejected one was.
        newest_ns: Stamp of the newest accepted one, 0 before the first.
    """

    def __init__(self) -> None:
        self.accepted = self.rejected = self.newest_ns = 0
        self.last_rejection = ""
        self._seen_s = -math.inf
        self._conflict, self._conflict_s = "", -math.inf

    def check(self, chunk: Chunk, executor: ChunkExecutor, now_ns: int, now_s: float) -> ChunkPath:
        """Lay the chunk out; raises as `ChunkExecutor.check` does."""
        if now_s - self._seen_s > SESSION_S:
            executor.release_session()
        if chunk.session == executor.session:
            self._seen_s = now_s
        try:
            return executor.check(chunk, now_ns)
        except OtherSession as error:
            self._conflict, self._conflict_s = str(error), now_s
            raise

    def followed(self, chunk: Chunk, now_s: float) -> None:
        """A chunk has been accepted."""
        self._seen_s, self.newest_ns = now_s, chunk.stamp_ns
        self.accepted += 1

    def refused(self, error: ChunkRejected) -> None:
        """A chunk has been rejected or dropped."""
        self.last_rejection = str(error)
        self.rejected += 1

    def conflict(self, now_s: float) -> str:
        """That two publishers were seen within the last second, or empty."""
        return self._conflict if now_s - self._conflict_s <= SESSION_S else ""


def check_motion(path: ChunkPath, entry: Pose, measured: Pose, limits: Limits) -> None:
    """What a path asks for: from where the tool is, inside the workspace, not beyond twice a speed limit.

    Args:
        path: A well-formed chunk, laid out.
        entry: Where on the path the arm would set in now.
        measured: Where the tool is.
        limits: What the arm may do.

    Raises:
        ChunkRejected: naming the row, the value and the limit.
    """
    jump = pose_delta(measured, entry)
    distance, angle = math.hypot(*jump[:3].tolist()), math.hypot(*jump[3:].tolist())
    if distance > limits.chunk_jump or angle > limits.chunk_turn:
        raise ChunkRejected(
            f"it sets in {distance * 1e3:.1f} mm and {angle:.2f} rad from the tool "
            f"(limits {limits.chunk_jump * 1e3:.1f} mm, {limits.chunk_turn:.2f} rad)"
        )
    for row, (velocity, aux) in enumerate(zip(path.velocities.tolist(), path.chunk.aux.tolist(), strict=True)):
        near = aux >= CONTACT_AUX
        top = limits.contact_speed if near else limits.free_speed
        top_angular = limits.contact_angular_speed if near else limits.free_angular_speed
        speed, rate = math.hypot(*velocity[:3]), math.hypot(*velocity[3:])
        slack_s = 0.0 if row else 1.0 / path.chunk.dt_s
        too_fast = speed > REJECT_BEYOND * top + ANCHOR_SLACK_M * slack_s
        if too_fast or rate > REJECT_BEYOND * top_angular + ANCHOR_SLACK_RAD * slack_s:
            raise ChunkRejected(
                f"row {row} asks for {speed * 1e3:.1f} mm/s and {rate:.2f} rad/s, more than twice the limits "
                f"{'near contact' if near else 'away from contact'} ({top * 1e3:.1f} mm/s, {top_angular:.2f} rad/s)"
            )
    for row, position in enumerate(path.positions().tolist()):
        for axis, value, low, high in zip("xyz", position, limits.workspace_min, limits.workspace_max, strict=True):
            if not low <= value <= high:
                raise OutsideWorkspace(
                    f"row {row} lies outside the workspace: {axis} = {value:.4f} m, allowed {low:g} to {high:g} m"
                )
