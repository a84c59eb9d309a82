"""Turns chunks into a setpoint at any time: indexed by time, interpolated, blended, and empty when nothing is left.

Latency costs steps, not lag: a chunk observed at t0 is entered where it says the tool should be now. Two things soften
that. While the gate slows the arm down, the path waits for it (`path_clock`). And where a new chunk continues the old
motion along the same line, but ahead of it or behind, it is entered at the nearest point and the difference in time is
made up for gradually: chunks that are anchored at the measured pose would otherwise repeat every rush and stall one
latency later, for ever. What is left of the difference fades out over the blending time.

That is the mode "blend". For comparison there are "newest", in which the newest chunk simply takes over at its time,
and "ensemble", in which the mean of all chunks that speak of now is followed, each until it is too old by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from insertion_vla_core.chunk import DT_S, HORIZON, Chunk, ChunkDropped, ChunkRejected, check_chunk
from insertion_vla_core.chunk_path import ChunkPath
from insertion_vla_core.ensemble import mean_motion
from insertion_vla_core.geometry import Pose, apply_delta, pose_delta
from insertion_vla_core.path_clock import PathClock

Execution = Literal["blend", "newest", "ensemble"]

NS = 1_000_000_000
FUTURE_NS = 20_000_000  # clocks of two machines agree this well; a stamp farther ahead is wrong
CATCH_UP_S = 2.0  # time constant with which a path that was entered behind or ahead of its time gets back on time
SHIFT_S = 0.3  # at most so far from its time
WEIGHTS = np.array([1.0] * 3 + [0.05] * 3)  # m: turning counts as moving at this distance from the tip
SETTLE_NS = 100_000_000  # the last pose stays commanded this long, so that the arm comes to rest on it


class OtherSession(ChunkRejected):
    """The chunk comes from another publisher than the one that is followed."""


@dataclass(frozen=True, eq=False)
class Setpoint:
    """Where the tool should be now.

    Attributes:
        pose: Commanded tool pose, base frame.
        twist: (6,) feed-forward [m/s, rad/s], tool tip, base axes.
        aux: 0 approach, 1 inserting or near contact, 2 finished.
        remaining_s: Until the newest chunk has nothing more to say; 0 while the arm settles on its last pose.
    """

    pose: Pose
    twist: NDArray[np.float64]
    aux: float
    remaining_s: float


class ChunkExecutor:
    """Follows the newest chunk of one session.

    Args:
        blend_s: Path time over which the difference between an old and a new chunk fades out.
        max_age_s: No chunk is followed for longer than this after its observation, even if it reaches further.
        mode: How a new chunk takes over.

    Raises:
        ValueError: there is no such mode.
    """

    def __init__(self, blend_s: float = DT_S, max_age_s: float = HORIZON * DT_S, mode: Execution = "blend") -> None:
        if mode not in get_args(Execution):
            raise ValueError(f"expected a mode of {', '.join(get_args(Execution))}, got '{mode}': choose one of them")
        self.max_age_s = max_age_s
        self._mode = mode
        self.session = ""
        self._blend_s = blend_s
        self._clock = PathClock()
        self._sequence = -1
        self._stamp_ns = 0
        self._path: ChunkPath | None = None
        self._older: list[ChunkPath] = []  # for the ensemble, the newest of them first
        self._offset = np.zeros(6)  # from the newest path to the motion before it, when it took over
        self._taken_over_ns = 0  # path time at which it did
        self._shift_s = 0.0  # how far from its time it was entered

    def check(self, chunk: Chunk, now_ns: int) -> ChunkPath:
        """Lay a chunk out as a path without following it yet.

        Raises:
            ChunkDropped: late, duplicate, out of order, or stamped in the future.
            OtherSession: another publisher's.
            ChunkRejected: its content is wrong.
        """
        check_chunk(chunk)
        age_s = (now_ns - chunk.stamp_ns) / NS
        if age_s < -FUTURE_NS / NS:
            raise ChunkDropped(
                f"expected a chunk observed before now, got one stamped {-age_s:.3f} s ahead: check the sender's clock"
            )
        reach_s = self._reach_s(chunk)
        if age_s >= reach_s:
            raise ChunkDropped(f"expected a chunk observed less than {reach_s:.2f} s ago, got one {age_s:.2f} s old")
        if self.session and chunk.session != self.session:
            raise OtherSession(
                f"a second publisher sends chunks: following session '{self.session}', got one of '{chunk.session}'"
            )
        if self.session and chunk.sequence <= self._sequence:
            kind = "a duplicate of" if chunk.sequence == self._sequence else "older than"
            raise ChunkDropped(f"chunk {chunk.sequence} is {kind} chunk {self._sequence}, which is already followed")
        if self.session and chunk.stamp_ns <= self._stamp_ns:
            raise ChunkDropped(
                f"chunk {chunk.sequence} was not observed after chunk {self._sequence}, which is already followed"
            )
        return ChunkPath(chunk, self._clock.at(chunk.stamp_ns))

    def start(self, path: ChunkPath, now_ns: int) -> None:
        """Follow a checked path from now on."""
        before, self._taken_over_ns = self.setpoint(now_ns), self._clock.at(now_ns)
        self._shift_s, self._offset = 0.0, np.zeros(6)
        if self._mode == "ensemble":
            known = [self._path] if self._path is not None else []
            self._older = [each for each in [*known, *self._older] if now_ns < self._end_ns(each)]
        elif self._mode == "blend" and before is not None:
            self._shift_s = self._nearest_s(path, before, now_ns)
            self._offset = pose_delta(path.at(self._taken_over_ns + int(self._shift_s * NS))[0], before.pose)
        self._path = path
        self.session, self._sequence, self._stamp_ns = path.chunk.session, path.chunk.sequence, path.chunk.stamp_ns

    def accept(self, chunk: Chunk, now_ns: int) -> None:
        """Check a chunk and follow it from now on; raises as `check` does."""
        self.start(self.check(chunk, now_ns), now_ns)

    def entry(self, path: ChunkPath, now_ns: int) -> Pose:
        """Where a checked path would be entered now."""
        before = self.setpoint(now_ns)
        shift_s = self._nearest_s(path, before, now_ns) if self._mode == "blend" and before is not None else 0.0
        return path.at(self._clock.at(now_ns) + int(shift_s * NS))[0]

    def setpoint(self, now_ns: int) -> Setpoint | None:
        """The setpoint at a time not before the newest accepted chunk came; None when there is nothing to follow."""
        path = self._path
        if path is None:
            return None
        end_ns = self._end_ns(path)
        if now_ns >= end_ns + SETTLE_NS:
            return None
        path_ns = self._clock.at(min(now_ns, end_ns))
        followed_s = (path_ns - self._taken_over_ns) / NS
        shift_s = self._shift_s * math.exp(-followed_s / CATCH_UP_S)
        pose, twist, aux = path.at(path_ns + int(shift_s * NS))
        # By age, not by path time: where the gate slows the arm down, that would reach back over many seconds.
        if speaking := [each for each in self._older if now_ns < self._end_ns(each)]:
            pose, twist = mean_motion([path, *speaking], path_ns)
        twist = twist * (1.0 - shift_s / CATCH_UP_S)
        if followed_s < self._blend_s:
            x = followed_s / self._blend_s
            pose = apply_delta(pose, (1.0 - x * x * (3.0 - 2.0 * x)) * self._offset)
            twist = twist - (6.0 * x * (1.0 - x) / self._blend_s) * self._offset
        if now_ns >= end_ns:
            return Setpoint(pose, np.zeros(6), aux, 0.0)
        return Setpoint(pose, twist, aux, (end_ns - now_ns) / NS)

    def set_rate(self, rate: float, now_ns: int) -> None:
        """From now on the path advances at `rate` (0..1) of its speed: what the gate lets the arm do."""
        self._clock.set_rate(rate, now_ns)

    def clear(self) -> None:
        """Nothing to follow any more. The session stays known, so that what was cleared cannot come back."""
        self._path, self._older = None, []

    def release_session(self) -> None:
        """Accept any session next."""
        self.session, self._sequence, self._stamp_ns = "", -1, 0

    def _nearest_s(self, path: ChunkPath, setpoint: Setpoint, now_ns: int) -> float:
        """Time from where the path should be entered now to its point nearest to the present setpoint [s]."""
        due_ns, shift_s = self._clock.at(now_ns), 0.0
        least = math.inf
        for _ in range(3):  # Gauss-Newton along the path: exact at once on a straight line
            pose, velocity, _ = path.at(due_ns + int(shift_s * NS))
            gap = pose_delta(pose, setpoint.pose) * WEIGHTS
            distance = float(gap @ gap)
            if distance >= least:
                break
            least, best_s = distance, shift_s
            along = velocity * WEIGHTS
            square = float(along @ along)
            if square < 1e-12:  # the path stands still here
                break
            shift_s = min(SHIFT_S, max(-SHIFT_S, shift_s + float(gap @ along) / square))
        return best_s

    def _end_ns(self, path: ChunkPath) -> int:
        """Time until which a path is followed."""
        return path.chunk.stamp_ns + int(self._reach_s(path.chunk) * NS)

    def _reach_s(self, chunk: Chunk) -> float:
        return min(self.max_age_s, len(chunk.deltas) * chunk.dt_s)
