"""All of one episode that is looked at, read from the store once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from insertion_vla_core.contract import Contract
from insertion_vla_core.limits import Limits
from numpy.typing import NDArray

from insertion_vla_training.inspection.actions import Jumps, measure_jumps
from insertion_vla_training.inspection.images import ViewMeasure, measure_view
from insertion_vla_training.stores import layout
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.feature_blob import decode_features
from insertion_vla_training.stores.store import Store
from insertion_vla_training.stores.stored_rows import Blobs, StreamRows

COLUMNS = 12  # thumbnails per view on the contact sheet
ALINE_ROWS = 4096  # read at a time
ALINE_COLUMNS = 600  # of the picture of A-lines
BINS_TOGETHER = 5
NS = 1e9


@dataclass(frozen=True, eq=False)
class Alines:
    """The A-lines of an episode, as a picture.

    Attributes:
        missing: share of the force rows without one.
        times: (n,) ns.
        depths: (n, bins) mean intensity over a short stretch of time and a few bins, NaN where there are none.
    """

    missing: float
    times: NDArray[np.int64]
    depths: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seen:
    """One episode.

    Attributes:
        episode, contract, limits: what it is, and what it should be.
        streams: numbers by name.
        payloads: by name stamps, receive times (n,) [ns], and whether the policy could use each of them.
        views: images by name, with their receive times.
        chunks, jumps: recorded chunks by column, and how far they move.
        alines: None without a force sensor, or without a single force row.
    """

    episode: Episode
    contract: Contract
    limits: Limits
    streams: dict[str, StreamRows]
    payloads: dict[str, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]
    views: dict[str, ViewMeasure]
    chunks: dict[str, NDArray[Any]]
    jumps: Jumps
    alines: Alines | None

    def seconds(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Since the start of the episode."""
        return (times_ns - self.episode.start_ns) / NS

    @property
    def span(self) -> tuple[int, int]:
        """First and last tick [ns] at which the policy acted; all of an episode without actions."""
        stamps = self.chunks["stamps"]
        if len(stamps) == 0:
            return self.episode.start_ns, self.episode.start_ns + round(self.episode.duration_s * NS)
        return int(stamps.min()), int(stamps.max())

    @property
    def aux(self) -> NDArray[np.float64] | None:
        """(n,) the largest auxiliary value of each chunk; None in a contract without it."""
        channels = self.contract.action.channels
        if "aux" not in channels:
            return None
        return np.asarray(self.chunks["data"], np.float64)[:, :, channels.index("aux")].max(axis=1)


def look_at(store: Store, episode: Episode, limits: Limits) -> Seen:
    """Read an episode and decode its images."""
    contract = store.contract
    chunks = store.chunks(episode)
    force = layout.force_stream(contract)
    streams = {s.name: store.stream(s.name, episode) for s in contract.observations if not s.payload}
    payloads = {
        s.name: _payloads(store.payloads(s.name, episode), episode.instruction)
        for s in contract.observations
        if s.payload
    }
    return Seen(
        episode=episode,
        contract=contract,
        limits=limits,
        streams=streams,
        payloads=payloads,
        views={image.name: _view(store.images(image.name, episode), episode) for image in contract.images},
        chunks=chunks,
        jumps=measure_jumps(chunks, contract.action),
        alines=_alines(store, episode, streams[force.name].stamps) if force else None,
    )


def _payloads(blobs: Blobs, instruction: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    # As the live node: withdrawn features are none, and so are those for another instruction.
    features = [decode_features(blobs.blob(index)) for index in range(len(blobs))]
    usable = np.array([found is not None and found.instruction == instruction for found in features], bool)
    return blobs.stamps, blobs.receive, usable


def _view(blobs: Blobs, episode: Episode) -> ViewMeasure:
    images = [blobs.jpeg(index) for index in range(len(blobs))]
    centres = episode.start_ns + (np.arange(COLUMNS) + 0.5) / COLUMNS * episode.duration_s * NS
    shown = {int(np.argmin(np.abs(blobs.stamps - centre))) for centre in centres} if len(blobs) else set()
    return measure_view(blobs.stamps, blobs.receive, images, shown)


def _alines(store: Store, episode: Episode, stamps: NDArray[np.int64]) -> Alines | None:
    count = len(stamps)
    if count == 0:
        return None
    together = max(1, -(-count // ALINE_COLUMNS))
    missing, depths = 0, []
    # Whole columns are read at a time.
    step = max(together, ALINE_ROWS // together * together)
    for first in range(0, count, step):
        lines = store.alines(episode, first, first + step)
        there = np.isfinite(lines[:, 0])
        missing += int(np.count_nonzero(~there))
        for start in range(0, len(lines), together):
            part = lines[start : start + together][there[start : start + together]]
            depths.append(_mean_line(part, lines.shape[1]))
    return Alines(missing / count, stamps[::together], np.array(depths))


def _mean_line(lines: NDArray[Any], bins: int) -> NDArray[np.float32]:
    """Mean (bins // BINS_TOGETHER,) of some A-lines (n, bins)."""
    whole = bins // BINS_TOGETHER
    if len(lines) == 0:
        return np.full(whole, np.nan, np.float32)
    mean = lines.mean(axis=0, dtype=np.float32)[: whole * BINS_TOGETHER]
    return mean.reshape(whole, BINS_TOGETHER).mean(axis=1)
