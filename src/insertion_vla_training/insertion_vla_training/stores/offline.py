"""What the policy would have seen: a stored episode replayed through the live observation builder.

Receive times decide what had arrived at a tick, as they did when the episode ran, and core's ObservationBuilder does
the rest, so observations equal those of the action_expert node bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from insertion_vla_core.observation import Missing, Observation, ObservationBuilder
from numpy.typing import NDArray

from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.feature_blob import decode_features
from insertion_vla_training.stores.store import Store
from insertion_vla_training.stores.stored_rows import Blobs, StreamRows


def regular_ticks(store: Store, episode: Episode) -> list[int]:
    """Ticks [ns] at the control rate (one per dt of the action) from the first to the last message of an episode."""
    step_ns = round(store.contract.action.dt_s * 1e9)
    return list(range(episode.start_ns, episode.start_ns + round(episode.duration_s * 1e9) + 1, step_ns))


def observations(store: Store, episode: Episode, ticks_ns: Iterable[int]) -> Iterator[Observation]:
    """Observations at those of the ticks [ns, rising] at which the policy would have acted."""
    return (seen for _, seen in replay(store, episode, ticks_ns) if isinstance(seen, Observation))


def replay(
    store: Store, episode: Episode, ticks_ns: Iterable[int], payloads: bool = True
) -> Iterator[tuple[int, Observation | Missing]]:
    """Every tick [ns, rising] with its observation, or with why there is none.

    Args:
        payloads: False leaves the payload streams (features) out, as if the contract did not name them.

    Raises:
        ValueError: a tick lies before the one in front of it.
    """
    streams = tuple(stream for stream in store.contract.observations if payloads or not stream.payload)
    builder = ObservationBuilder(store.contract.model_copy(update={"observations": streams}))
    sources = [_source(store, episode, stream.name, stream.payload) for stream in streams]
    last_ns: int | None = None
    for t_ns in ticks_ns:
        if last_ns is not None and t_ns < last_ns:
            raise ValueError(f"expected rising ticks, got {t_ns} after {last_ns}")
        last_ns = t_ns
        for source in sources:
            source.advance(builder, t_ns)
        yield t_ns, _observe(builder, sources, t_ns, episode.instruction)


def _observe(builder: ObservationBuilder, sources: list[_Source], t_ns: int, instruction: str) -> Observation | Missing:
    """As the live node does: withdrawn features are missing, and so are those for another instruction."""
    for source in sources:
        if source.withdrawn:
            return Missing(source.name, None, 0.0, "the features were withdrawn")
    try:
        seen = builder.build(t_ns)
    except Missing as missing:
        return missing
    for source in sources:
        if source.name in seen.streams and source.instruction not in (None, instruction):
            return Missing(source.name, None, 0.0, f"they are for '{source.instruction}', not '{instruction}'")
    return seen


class _Source:
    """One stream of an episode on its way into a builder, in the order of arrival.

    Attributes:
        name: of the stream.
        withdrawn: the newest of its payloads is a withdrawal.
        instruction: of the newest payload; None for numbers.
    """

    def __init__(self, name: str, receive: NDArray[np.int64]) -> None:
        self.name = name
        self.withdrawn = False
        self.instruction: str | None = None
        self._receive = receive
        self._next = 0

    def advance(self, builder: ObservationBuilder, t_ns: int) -> None:
        """Push what arrived up to the tick."""
        stop = int(np.searchsorted(self._receive, t_ns, side="right"))
        if stop > self._next:
            self._push(builder, self._next, stop)
            self._next = stop

    def _push(self, builder: ObservationBuilder, start: int, stop: int) -> None:
        raise NotImplementedError


class _Numbers(_Source):
    def __init__(self, name: str, rows: StreamRows) -> None:
        super().__init__(name, rows.receive)
        self._rows = rows

    def _push(self, builder: ObservationBuilder, start: int, stop: int) -> None:
        # Row times go in one by one: rows of different messages have different receive times.
        rows = self._rows
        edges = np.flatnonzero(np.diff(rows.receive[start:stop])) + start + 1
        bounds = [start, *edges.tolist(), stop]
        for first, last in zip(bounds[:-1], bounds[1:], strict=True):
            builder.extend(self.name, rows.stamps[first:last], int(rows.receive[first]), rows.values[first:last])


class _Payloads(_Source):
    def __init__(self, name: str, blobs: Blobs) -> None:
        super().__init__(name, blobs.receive)
        self._blobs = blobs

    def _push(self, builder: ObservationBuilder, start: int, stop: int) -> None:
        for index in range(start, stop):
            features: Any = decode_features(self._blobs.blob(index))
            self.withdrawn = features is None
            if features is not None:
                self.instruction = features.instruction
                builder.push(self.name, int(self._blobs.stamps[index]), int(self._blobs.receive[index]), features)


def _source(store: Store, episode: Episode, name: str, payload: bool) -> _Source:
    if payload:
        return _Payloads(name, store.payloads(name, episode))
    return _Numbers(name, store.stream(name, episode))
