"""What was seen of an episode: the tip's path, what was pictured, and how chunks fit together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.decision import Decision, GateStatus
from insertion_vla_core.geometry import Pose
from insertion_vla_sim.lockstep_streams import Block
from insertion_vla_sim.world import RENDER_STATE_SIZE
from numpy.typing import NDArray

Array = NDArray[np.float64]
FILMED_VIEW = "front"  # whose pictures give the times of the film


@dataclass(frozen=True, eq=False)
class Trace:
    """An episode's motion at 100 Hz, and its pictures as render states at 5 Hz.

    Attributes:
        tips: (n, 3) needle tip, base axes [m].
        needles: (n, 3) unit vectors out of the tip.
        states: (m, 15) as `World.render_state()`.
    """

    tips: Array
    needles: Array
    states: Array

    def save(self, path: Path) -> None:
        """Write it in one step: there is a whole file or none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_name(f".{path.name}.{os.getpid()}.part")
        with waiting.open("wb") as stream:
            np.savez_compressed(stream, tips=self.tips, needles=self.needles, states=self.states)
        waiting.replace(path)


def load_trace(path: Path) -> Trace:
    """A trace that `save` wrote.

    Raises:
        ValueError: it is damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            trace = Trace(found["tips"], found["needles"], found["states"])
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise ValueError(f"expected the trace of an episode in {path}, it cannot be read: delete it") from error
    shapes = (trace.tips.shape[1:], trace.needles.shape, trace.states.shape[1:])
    if shapes != ((3,), trace.tips.shape, (RENDER_STATE_SIZE,)):
        raise ValueError(f"expected the trace of an episode in {path}, got arrays of other shapes: delete it")
    return trace


class Tracer:
    """A listener of a lock-step episode that keeps what a trace holds, and the gaps between chunks.

    Attributes:
        gaps_m: of each chunk, how far it is from the one before at the times that both speak of (mean).
    """

    def __init__(self) -> None:
        self.gaps_m: list[float] = []
        self._tips: list[Array] = []
        self._needles: list[Array] = []
        self._states: list[Array] = []
        self._last: Chunk | None = None

    def trace(self) -> Trace:
        """Of what was heard."""
        states = np.array(self._states).reshape(-1, RENDER_STATE_SIZE)
        return Trace(np.array(self._tips), np.array(self._needles), states)

    def robot(self, stamp_ns: int, q: Array, dq: Array, tool: Pose) -> None:
        """Keep the tip."""
        self._tips.append(tool.position)
        self._needles.append(tool.rotation[:, 2])

    def block(self, block: Block) -> None:
        """Nothing is kept of the measured force: the truth is."""

    def picture(self, view: str, stamp_ns: int, state: Array) -> None:
        """Keep what one view sees."""
        if view == FILMED_VIEW:
            self._states.append(state)

    def features(self, features: Any, known_ns: int) -> None:
        """Nothing is kept."""

    def chunk(self, chunk: Chunk, known_ns: int) -> None:
        """Compare with the one before."""
        if self._last is not None and np.isfinite(chunk.deltas).all():
            shared = _gap_m(self._last, chunk)
            self.gaps_m += [] if shared is None else [shared]
        self._last = chunk if np.isfinite(chunk.deltas).all() else None

    def cycle(self, now_ns: int, decision: Decision, status: GateStatus) -> None:
        """Nothing is kept."""


def _gap_m(before: Chunk, after: Chunk) -> float | None:
    """Mean distance of two chunks' positions at the times of both; None if they share none."""
    times = after.stamp_ns + after.dt_s * 1e9 * np.arange(1, len(after.deltas) + 1)
    known = before.stamp_ns + before.dt_s * 1e9 * np.arange(1, len(before.deltas) + 1)
    both = (times >= known[0]) & (times <= known[-1])
    if not both.any():
        return None
    old = before.anchor.position + before.deltas[:, :3]
    new = after.anchor.position + after.deltas[both, :3]
    at = np.column_stack([np.interp(times[both], known, old[:, axis]) for axis in range(3)])
    return float(np.linalg.norm(new - at, axis=1).mean())
