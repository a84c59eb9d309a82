"""Samples of a state-diffusion policy: the last low-dimensional states, and the actions of a horizon.

From stores of low-dimensional recordings (`import` of DP-style Zarr, MoveIt trajectories): their actions are one row
per recorded tick. The state of a tick is all streams of numbers of the contract, in its order. A sample is n_obs_steps
consecutive ticks; its actions begin at the first of them, and those beyond the end of the episode are masked.

    states  (n_obs_steps, S)      action  (horizon, A)      rows  (horizon,) True where there is an action
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from insertion_vla_core.contract import Contract, contract_hash, differences
from numpy.typing import NDArray
from torch.utils.data import Dataset

from insertion_vla_training.datasets.episodes import DataSource, usable_episodes
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store

GAP = 1.5  # ticks farther apart than this many steps are not consecutive
Batch = dict[str, Any]


class StateSet(Dataset[Batch]):
    """See the module's docstring; the same interface as TrainingSet, so that loaders take both.

    Attributes:
        sources: the stores.
        contract_hash: of the stores.
        n_obs_steps: states of a sample.
        states, actions: (T, S) and (T, A), the ticks of all episodes one after the other.
        source_of, weights: (N,) of the samples.
    """

    def __init__(self, sources: Sequence[DataSource], split: str, n_obs_steps: int, horizon: int) -> None:
        """Reads the stores.

        Raises:
            ValueError: contracts differ or have other actions, or there are no samples.
        """
        self.sources = tuple(source for source in sources if source.weight > 0)
        self.n_obs_steps, self._horizon = n_obs_steps, horizon
        stores = [Store.open(source.store) for source in self.sources]
        self.contract_hash = contract_hash(stores[0].contract)
        self._step_ns = round(stores[0].contract.action.dt_s * 1e9)
        self._episodes: list[Episode] = []
        parts: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]] = []
        places: list[NDArray[np.int64]] = []  # of a sample: source, episode, first tick, its stretch's start and end
        base = 0
        for number, (source, store) in enumerate(zip(self.sources, stores, strict=True)):
            _check(store, stores[0])
            for episode in usable_episodes(store, split, source.include_bad, source.include_failed):
                states, actions, stamps = ticks_of(store, episode)
                found = self._samples(stamps)
                rows = np.empty((2, found.shape[1]), np.int64)
                rows[0], rows[1] = number, len(self._episodes)
                places.append(np.concatenate([rows, found + base]))
                parts.append((states, actions, stamps))
                self._episodes.append(episode)
                base += len(stamps)
        if not sum(place.shape[1] for place in places):
            names = ", ".join(source.store for source in self.sources)
            raise ValueError(
                f"expected samples of split '{split}' in {names}, there are none: record or import more episodes of at "
                f"least {n_obs_steps} ticks, or see `inspect` for why they are bad"
            )
        self.states, self.actions, self._stamps = (
            np.concatenate([part[column] for part in parts]) for column in range(3)
        )
        self.source_of, self._episode_of, self._first, self._start, self._end = np.concatenate(places, axis=1)
        self.weights = np.array([episode.weight for episode in self._episodes])[self._episode_of]

    def _samples(self, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """(3, n): first tick of each sample, and where the stretch of consecutive ticks around it starts and ends."""
        breaks = np.flatnonzero(np.diff(stamps) > GAP * self._step_ns) + 1
        bounds = [0, *breaks.tolist(), len(stamps)]
        found = [np.zeros((3, 0), np.int64)]
        for start, end in zip(bounds[:-1], bounds[1:], strict=True):
            firsts = np.arange(start, max(start, end - self.n_obs_steps + 1))
            found.append(np.stack([firsts, np.full_like(firsts, start), np.full_like(firsts, end)]))
        return np.concatenate(found, axis=1)

    def __len__(self) -> int:
        return len(self._first)

    def __getitems__(self, items: Sequence[int | tuple[int, float]]) -> Batch:
        """A batch, as torch's loaders ask for it; states have no age to draw."""
        return self.batch([item[0] if isinstance(item, tuple) else item for item in items], ())

    def batch(self, indices: Sequence[int], shares: Sequence[float]) -> Batch:
        """Samples as arrays (B, ...), with `index` and `stamp` [ns] of the newest state."""
        picked = np.asarray(indices, np.int64)
        first, end = self._first[picked], self._end[picked]
        planned = first[:, None] + np.arange(self._horizon)
        rows = planned < end[:, None]
        newest = first + self.n_obs_steps - 1
        return {
            "states": self.states[first[:, None] + np.arange(self.n_obs_steps)],
            "action": self.actions[np.minimum(planned, end[:, None] - 1)],
            "rows": rows,
            "index": picked,
            "stamp": self._stamps[newest],
        }

    def actions_before(self, indices: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The last two actions (N, A) each that were known at the newest state; the first of an episode is repeated."""
        picked = np.asarray(indices, np.int64)
        start = self._start[picked]
        last = np.maximum(self._first[picked] + self.n_obs_steps - 2, start)
        return self.actions[last], self.actions[np.maximum(last - 1, start)]

    def name_of(self, index: int) -> str:
        """Episode and tick, for people."""
        episode = self._episodes[self._episode_of[index]]
        stamp = int(self._stamps[self._first[index] + self.n_obs_steps - 1])
        return f"{episode.name} at {(stamp - episode.start_ns) * 1e-9:.2f} s (tick {stamp})"


def ticks_of(store: Store, episode: Episode) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """States (T, S), actions (T, A) and stamps (T,) of the ticks whose numbers are all there."""
    chunks = store.chunks(episode)
    order = np.argsort(chunks["stamps"], kind="stable")
    stamps: NDArray[np.int64] = chunks["stamps"][order]
    actions = chunks["data"][order, 0]
    columns = [_newest(store, episode, name, stamps) for name in _streams(store.contract)]
    states = np.concatenate(columns, axis=1).astype(np.float32)
    whole = np.isfinite(states).all(axis=1) & np.isfinite(actions).all(axis=1)
    return states[whole], actions[whole], stamps[whole]


def _newest(store: Store, episode: Episode, name: str, stamps: NDArray[np.int64]) -> NDArray[np.float64]:
    """The newest row of a stream at each tick, NaN where it is too old or not there."""
    rows, stream = store.stream(name, episode), store.contract.stream(name)
    order = np.argsort(rows.stamps, kind="stable")
    times, values = rows.stamps[order], rows.values[order]
    found = np.searchsorted(times, stamps, side="right") - 1
    result = np.full((len(stamps), len(stream.channels)), np.nan)
    fresh = found >= 0
    fresh[fresh] = stamps[fresh] - times[found[fresh]] <= round(stream.max_age_s * 1e9)
    result[fresh] = values[found[fresh]]
    return result


def _streams(contract: Contract) -> list[str]:
    return [stream.name for stream in contract.observations if not stream.payload]


def _check(store: Store, first: Store) -> None:
    action = store.contract.action
    if action.horizon != 1:
        raise ValueError(
            f"expected actions of one row per tick in {store.path}, contract '{store.contract.name}' has chunks of "
            f"{action.horizon}: train the expert regression or diffusion on it"
        )
    if wrong := differences(store.contract, first.contract):
        raise ValueError(f"expected stores of one contract, {store.path} differs from {first.path} in {wrong[0]}")
