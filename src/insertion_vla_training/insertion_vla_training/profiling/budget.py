"""How long a chunk may take: the period of the action expert, less what the graph needs of it."""

from __future__ import annotations

from dataclasses import dataclass

from insertion_vla_core.chunk import DT_S

PERIOD_MS = 1e3 * DT_S
# Chunks come 105 ms apart and a message takes 8.4 ms to another process (p99 of both, make bench): 5 + 8.4, rounded up.
GRAPH_MS = 15.0


@dataclass(frozen=True)
class Budget:
    """The most that the p99 of a chunk may be [ms], and in words how it came about."""

    ms: float
    words: str


def budget(observe_ms: float, given_ms: float | None = None) -> Budget:
    """The budget of a chunk.

    Args:
        observe_ms: p99 of building an observation on this machine.
        given_ms: what the user wants instead.
    """
    if given_ms is not None:
        return Budget(given_ms, f"{given_ms:g} ms as given")
    ms = PERIOD_MS - GRAPH_MS - observe_ms
    return Budget(
        ms,
        f"{ms:.1f} ms = {PERIOD_MS:g} ms from chunk to chunk - {GRAPH_MS:g} ms for a late tick and the way to the arm "
        f"- {observe_ms:.1f} ms to build the observation (p99 here)",
    )
