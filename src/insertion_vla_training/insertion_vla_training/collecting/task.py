"""What the task node would say of a lock-step episode: its phase, the depth since insertion began, its permission."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from insertion_vla_core.geometry import Pose

# Numbers of TaskState.msg.
APPROACH, INSERT, DWELL, SUCCEEDED, FAILED = 1, 2, 3, 5, 6
INSERTING_AUX, FINISHED_AUX = 0.5, 1.5


@dataclass(frozen=True)
class TaskWords:
    """What a TaskState message holds beside its goal."""

    phase: int
    permit: bool
    depth_m: float
    elapsed_s: float
    status: str
    ended: bool = False


class TaskPhases:
    """Follows one goal by the auxiliary channel of its chunks."""

    def __init__(self) -> None:
        self._phase, self._status = APPROACH, "taring the force sensor"
        self._permit = False
        self._start: Pose | None = None
        self._tool: Pose | None = None

    def tared(self) -> None:
        """The goal may start."""
        if not self._permit:
            self._permit, self._status = True, "approaching"

    def robot(self, tool: Pose) -> None:
        """Take a measured tool pose."""
        self._tool = tool

    def chunk(self, aux: float, status: str) -> None:
        """Take what a chunk says of itself: 0 approach, 1 inserting, 2 finished."""
        self._status = status or self._status
        if aux < INSERTING_AUX:
            self._phase, self._start = APPROACH, None
            return
        if self._start is None:
            self._start = self._tool
        self._phase = DWELL if aux > FINISHED_AUX else INSERT

    def words(self, elapsed_s: float) -> TaskWords:
        """As of now, the goal running."""
        return TaskWords(self._phase, self._permit, self._depth_m(), elapsed_s, self._status)

    def end(self, success: bool, elapsed_s: float, status: str) -> TaskWords:
        """The last words, motion no longer permitted."""
        return TaskWords(SUCCEEDED if success else FAILED, False, self._depth_m(), elapsed_s, status, ended=True)

    def _depth_m(self) -> float:
        if self._start is None or self._tool is None:
            return math.nan
        axis: np.ndarray = self._start.rotation[:, 2]
        return float((self._tool.position - self._start.position) @ axis)
