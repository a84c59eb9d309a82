"""A stored episode at the control rate: at each tick what the policy would have seen, and what was commanded.

Observations come from the same code as live ones (offline.replay), without the features of a model. Ticks where a
required stream, a view or a command is missing are left out: an episode falls into runs of consecutive ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from insertion_vla_core.contract import Contract, ImageStream, Stream
from insertion_vla_core.observation import Observation, Window
from numpy.typing import NDArray

from insertion_vla_training.stores import layout, offline
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store
from insertion_vla_training.stores.stored_rows import Blobs

MIN_FRAMES = 2


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive ticks of an episode.

    Attributes:
        episode: of the store.
        ticks_ns: (T,) one period apart.
        values: (T, C) newest row of each stream by name; NaN where an optional one is missing.
        images: (T,) index of the newest image in the episode, by view.
        anchors: (T, 7) measured pose behind the command.
        actions: (T, C) first row of the chunk of that tick.
    """

    episode: Episode
    ticks_ns: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    images: dict[str, NDArray[np.int64]]
    anchors: NDArray[np.float64]
    actions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ticks_ns)


def number_streams(contract: Contract) -> list[Stream]:
    """The observations that are numbers."""
    return [stream for stream in contract.observations if not stream.payload]


def views_with_images(store: Store, episodes: Sequence[Episode]) -> list[ImageStream]:
    """The views of which any of the episodes has an image."""
    return [
        view
        for view in store.contract.images
        if any(episode.counts[layout.image_path(view.name)] for episode in episodes)
    ]


def control_ticks(store: Store, episode: Episode) -> NDArray[np.int64]:
    """Ticks (n,) at the control rate, from the first command of an episode to its end."""
    step_ns = round(store.contract.action.dt_s * 1e9)
    stamps = store.chunks(episode)["stamps"]
    start_ns = int(stamps.min()) if len(stamps) else episode.start_ns
    end_ns = episode.start_ns + round(episode.duration_s * 1e9)
    return np.arange(start_ns, end_ns + 1, step_ns, dtype=np.int64)


def runs(store: Store, episode: Episode, views: Sequence[ImageStream]) -> list[Run]:
    """The runs of an episode, each of at least two ticks."""
    ticks = control_ticks(store, episode)
    chunks = store.chunks(episode)
    chosen = _nearest(chunks["stamps"], ticks, store.contract.action.dt_s)
    images = {view.name: _newest(store.images(view.name, episode), ticks, view.max_age_s) for view in views}
    streams = number_streams(store.contract)
    rows: dict[str, list[NDArray[np.float64]]] = {stream.name: [] for stream in streams}
    whole = (chosen >= 0) & np.all([index >= 0 for index in images.values()], axis=0)
    for number, (_, seen) in enumerate(offline.replay(store, episode, ticks.tolist(), payloads=False)):
        if not isinstance(seen, Observation):
            whole[number] = False
        for stream in streams:
            missing = np.full(stream.width, np.nan)
            rows[stream.name].append(_row(stream, seen) if isinstance(seen, Observation) else missing)
    values = {s.name: np.array(rows[s.name]).reshape(len(ticks), s.width) for s in streams}
    return [
        Run(
            episode,
            ticks[part],
            {name: found[part] for name, found in values.items()},
            {name: index[part] for name, index in images.items()},
            chunks["anchor"][chosen[part]],
            chunks["data"][chosen[part], 0],
        )
        for part in _stretches(whole)
    ]


def _row(stream: Stream, seen: Observation) -> NDArray[np.float64]:
    window: Window = seen.streams[stream.name]
    if stream.optional:
        return np.asarray(window.values[-1])
    return np.asarray(window.valid()[1][-1])


def _nearest(stamps: NDArray[np.int64], ticks: NDArray[np.int64], dt_s: float) -> NDArray[np.int64]:
    """Index of the chunk nearest to each tick, -1 where none lies within half a period."""
    if len(stamps) == 0:
        return np.full(len(ticks), -1)
    order = np.argsort(stamps, kind="stable")
    known = stamps[order]
    right = np.clip(np.searchsorted(known, ticks), 0, len(known) - 1)
    left = np.maximum(right - 1, 0)
    best = np.where(np.abs(known[left] - ticks) <= np.abs(known[right] - ticks), left, right)
    return np.where(np.abs(known[best] - ticks) <= round(0.5e9 * dt_s), order[best], -1)


def _newest(blobs: Blobs, ticks: NDArray[np.int64], max_age_s: float) -> NDArray[np.int64]:
    """Index of the newest image that had arrived at each tick, -1 where it is too old."""
    result = np.full(len(ticks), -1)
    for number, tick in enumerate(ticks.tolist()):
        there = np.flatnonzero((blobs.receive <= tick) & (blobs.stamps <= tick))
        if len(there):
            newest = there[np.argmax(blobs.stamps[there])]
            if tick - blobs.stamps[newest] <= round(max_age_s * 1e9):
                result[number] = newest
    return result


def _stretches(whole: NDArray[np.bool_]) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]]).astype(np.int8)))
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [slice(start, stop) for start, stop in pairs if stop - start >= MIN_FRAMES]
