"""What a LeRobot data set of a store will hold: found out before the first byte of it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from insertion_vla_core.contract import ImageStream, Stream

from insertion_vla_training.exporters import lerobot_layout as layout
from insertion_vla_training.exporters.control_grid import Run, number_streams, runs, views_with_images
from insertion_vla_training.importers.safe_files import jpeg_size
from insertion_vla_training.stores.episode_index import TRAIN, Episode
from insertion_vla_training.stores.store import Store


@dataclass
class Plan:
    """What will be written, known before the first byte of it."""

    store: Store
    runs: list[Run]
    views: list[ImageStream]
    fps: int
    state: list[Stream]
    optional: list[Stream]
    tasks: list[str]
    features: dict[str, Any]
    left_out: list[str] = field(default_factory=list)


def plan(store: Store, episodes: Sequence[Episode], videos: bool, advance: Callable[[], None]) -> Plan:
    """Look at all episodes: which ticks are whole, and which streams and views are there at all.

    Raises:
        ValueError: no tick of any episode is whole, or the control rate is no whole number of Hz.
    """
    rate_hz = 1.0 / store.contract.action.dt_s
    fps = round(rate_hz)
    if abs(rate_hz - fps) > 1e-6 * rate_hz:
        raise ValueError(f"expected a whole number of frames per second, the contract's control rate is {rate_hz:g} Hz")
    views = views_with_images(store, episodes)
    found: list[Run] = []
    left_out = []
    for episode in sorted(episodes, key=lambda episode: episode.split != TRAIN):
        parts = runs(store, episode, views)
        found += parts
        if not parts:
            left_out.append(
                f"episode {episode.name}: no two ticks in a row have every required stream, view and a command; it is "
                "left out; look at it with: inspect"
            )
        advance()
    if not found:
        raise ValueError(
            f"expected ticks with observations and commands in {store.path}, found none in {len(episodes)} episodes: "
            f"{left_out[0] if left_out else 'there are no episodes'}"
        )
    streams = number_streams(store.contract)
    optional = [
        stream
        for stream in streams
        if stream.optional and any(np.isfinite(run.values[stream.name]).any() for run in found)
    ]
    state = [stream for stream in streams if not stream.optional]
    action = store.contract.action
    features = {layout.STATE: layout.numbers_feature([f"{s.name}.{c}" for s in state for c in s.channels])}
    features |= {f"observation.{s.name}": layout.numbers_feature(list(s.channels)) for s in optional}
    for view in views:
        jpeg = store.images(view.name, found[0].episode).blob(int(found[0].images[view.name][0]))
        features[layout.IMAGES + view.name] = layout.image_feature(*jpeg_size(jpeg), fps, videos)
    features[layout.ACTION] = layout.numbers_feature(list(action.channels))
    features |= layout.index_features()
    tasks = list(dict.fromkeys(run.episode.instruction for run in found))
    return Plan(store, found, views, fps, state, optional, tasks, features, left_out)
