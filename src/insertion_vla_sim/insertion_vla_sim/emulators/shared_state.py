"""Render state from the physics process to the renderer: anonymous shared memory with a sequence lock.

The memory is a memfd, so it has no name to clean up: the kernel frees it when the last process using it is gone,
however that process ends. A reader opens it as /proc/<pid>/fd/<fd>.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insertion_vla_sim.scene import VIEWS
from insertion_vla_sim.world import RENDER_STATE_SIZE

_MAGIC = 0x696E7365727401
# Whole numbers: magic, sequence (odd while writing), device time ns, ticks. Then per view: mode and period, then state.
_INTS = 4
_FLOATS = 2 * len(VIEWS) + RENDER_STATE_SIZE
_BYTES = 8 * (_INTS + _FLOATS)
_TRIES = 1000
_BETWEEN_TRIES_S = 0.001  # a writer that was preempted in the middle of a write needs time, not haste

NORMAL, KILLED, FROZEN = 0.0, 1.0, 2.0


@dataclass(frozen=True, eq=False)
class RenderInput:
    """One consistent reading.

    Attributes:
        stamp_ns: when the state held, device time.
        state: of World.render_state().
        mode: per view NORMAL, KILLED or FROZEN.
        period_s: per view, between frames.
    """

    stamp_ns: int
    state: NDArray[np.float64]
    mode: NDArray[np.float64]
    period_s: NDArray[np.float64]


class SharedState:
    """The shared block; create() it once, attach() to its path elsewhere."""

    def __init__(self, fd: int, path: str) -> None:
        self.path = path
        self._fd = fd
        self._map = mmap.mmap(fd, _BYTES)
        self._ints = np.frombuffer(self._map, np.int64, _INTS)
        floats = np.frombuffer(self._map, np.float64, _FLOATS, 8 * _INTS)
        n = len(VIEWS)
        self._mode, self._period_s, self._state = floats[:n], floats[n : 2 * n], floats[2 * n :]

    @staticmethod
    def create(period_s: float) -> SharedState:
        """New memory with healthy cameras and no state yet."""
        fd = os.memfd_create("insertion_vla_sim")
        os.ftruncate(fd, _BYTES)
        shared = SharedState(fd, f"/proc/{os.getpid()}/fd/{fd}")
        shared._period_s[:] = period_s
        shared._ints[0] = _MAGIC
        return shared

    @staticmethod
    def attach(path: str) -> SharedState:
        """Memory of another process.

        Raises:
            OSError: no such file.
            ValueError: something else than this memory.
        """
        fd = os.open(path, os.O_RDWR)
        if os.fstat(fd).st_size != _BYTES:
            os.close(fd)
            raise ValueError(f"{path} is not the render state of a simulation of this version")
        shared = SharedState(fd, path)
        if shared._ints[0] != _MAGIC:
            shared.close()
            raise ValueError(f"{path} is not the render state of a simulation of this version")
        return shared

    def write(self, stamp_ns: int, state: NDArray[np.float64]) -> None:
        """Publish a state; one writer only."""
        self._ints[1] += 1
        self._ints[2] = stamp_ns
        self._state[:] = state
        self._ints[3] += 1
        self._ints[1] += 1

    def set_camera(self, index: int, mode: float, period_s: float) -> None:
        """Change how a view behaves."""
        self._mode[index], self._period_s[index] = mode, period_s

    def read(self) -> RenderInput | None:
        """Newest state, None before the first."""
        for _ in range(_TRIES):
            before = int(self._ints[1])
            if before == 0:
                return None
            if before % 2 == 0:
                reading = RenderInput(int(self._ints[2]), self._state.copy(), self._mode.copy(), self._period_s.copy())
                if int(self._ints[1]) == before:
                    return reading
            time.sleep(_BETWEEN_TRIES_S)
        raise RuntimeError("the render state was never at rest; did its writer die in the middle of a write?")

    def close(self) -> None:
        """Give the memory back."""
        # The map cannot close while arrays look into it.
        del self._ints, self._mode, self._period_s, self._state
        self._map.close()
        os.close(self._fd)
