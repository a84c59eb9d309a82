"""Robust statistics for normalisation, per channel of every stream, of the training split alone.

They are computed anew whenever the training episodes have changed; validation and bad episodes never take part.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.stores import layout
from insertion_vla_training.stores.episode_index import TRAIN, Episode, read_json, write_json
from insertion_vla_training.stores.store import Store

STATISTICS_FILE = "statistics.json"
ROWS_MAX = 2_000_000  # per stream; of more, every k-th
ALINES_MAX = 512
QUANTILES = {"q01": 0.01, "q25": 0.25, "median": 0.5, "q75": 0.75, "q99": 0.99}


def training_episodes(store: Store) -> list[Episode]:
    """The episodes that statistics and training may see."""
    return [episode for episode in store.episodes(TRAIN) if not episode.bad]


def update_statistics(store: Store) -> bool:
    """Write statistics.json if the training episodes have changed since; True if it was written."""
    episodes = training_episodes(store)
    digest = _digest(episodes)
    path = store.path / STATISTICS_FILE
    if path.exists() and read_json(path).get("digest") == digest:
        return False
    streams = {
        stream.name: _statistics(
            _every_kth([store.stream(stream.name, episode).values for episode in episodes], len(stream.channels)),
            stream.channels,
        )
        for stream in store.contract.observations
        if not stream.payload
    }
    action = store.contract.action.channels
    chunks = [store.chunks(episode)["data"].reshape(-1, len(action)).astype(np.float64) for episode in episodes]
    streams["action"] = _statistics(_every_kth(chunks, len(action)), action)
    if layout.force_stream(store.contract):
        streams["alines"] = _statistics(_some_alines(store, episodes), ("intensity",))
    names = [episode.name for episode in episodes]
    write_json(path, {"split": TRAIN, "episodes": names, "digest": digest, "streams": streams})
    return True


def load_statistics(store: Store) -> dict[str, dict[str, Any]]:
    """By stream name ("action" and "alines" too): channels, and for each count, median, q01, q25, q75, q99, mean, std.

    Raises:
        ValueError: they do not belong to the present training split.
    """
    values = read_json(store.path / STATISTICS_FILE)
    if values["digest"] != _digest(training_episodes(store)):
        raise ValueError(
            f"expected statistics of the present training split in {store.path}, got older ones; run "
            "preprocess once more"
        )
    return dict(values["streams"])


def _digest(episodes: list[Episode]) -> str:
    text = "\n".join(f"{episode.name} {episode.bag_sha256}" for episode in episodes)
    return hashlib.sha256(text.encode()).hexdigest()


def _every_kth(parts: list[NDArray[Any]], width: int) -> NDArray[np.float64]:
    step = max(1, -(-sum(len(part) for part in parts) // ROWS_MAX))
    return np.concatenate([np.zeros((0, width)), *(part[::step] for part in parts)])


def _some_alines(store: Store, episodes: list[Episode]) -> NDArray[np.float64]:
    """Numbers (n, 1) of A-lines spread evenly: a few from every episode."""
    each = max(1, ALINES_MAX // max(1, len(episodes)))
    found = []
    for episode in episodes:
        count = episode.counts[layout.ALINES]
        # A whole chunk costs as much as one line of it: take runs, not single lines.
        runs = max(1, each // 64)
        for start in np.linspace(0, max(0, count - 64), runs).astype(int).tolist():
            found.append(store.alines(episode, start, start + min(each, 64)).astype(np.float64).reshape(-1, 1))
    return np.concatenate([np.zeros((0, 1)), *found])


def _statistics(values: NDArray[np.float64], channels: tuple[str, ...]) -> dict[str, Any]:
    """Per channel of values (n, C); numbers that are not finite are no data, and without any there is None."""
    result: dict[str, Any] = {"channels": list(channels), "count": []}
    for name in (*QUANTILES, "mean", "std"):
        result[name] = []
    for column in values.T:
        finite = column[np.isfinite(column)]
        result["count"].append(len(finite))
        if len(finite) == 0:
            for name in (*QUANTILES, "mean", "std"):
                result[name].append(None)
            continue
        for name, value in zip(QUANTILES, np.quantile(finite, list(QUANTILES.values())), strict=True):
            result[name].append(float(value))
        result["mean"].append(float(finite.mean()))
        result["std"].append(float(finite.std()))
    return result
