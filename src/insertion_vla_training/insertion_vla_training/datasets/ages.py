"""How old the features of a sample are: as old as those that a live policy has at its ticks.

An age is the time from the moment when the vlm node took the newest images to the tick. The entry of a tick t and an
age a is the newest image set that was ready at t - a, which is the one that the node would have encoded then. Training
draws a from the ages of the episode's recorded features, or evenly from [latency, latency + period] where none were
recorded. Validation draws nothing: each tick has the entry that was live, or that a vlm node of this latency and period
would have had, started when the first images came.

A live policy does not act on features older than the contract's max_age_s. So ticks whose newest possible entry is
older, or that come before the first one, are no samples, and an age that would give an older entry gives the oldest
that is still allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from insertion_vla_core.strict_yaml import StrictModel
from numpy.typing import NDArray
from pydantic import Field

from insertion_vla_training.caching.sets import ImageSets
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.feature_blob import decode_features
from insertion_vla_training.stores.store import Store
from insertion_vla_training.stores.stored_rows import Blobs

Ages = NDArray[np.int64]
UNKNOWN = np.iinfo(np.int64).max


class FeatureAges(StrictModel):
    """Where ages come from.

    Attributes:
        source: "recorded" takes those of the episode's recorded features where there are any; "uniform" never does.
        latency_s: from images to features, of the vlm node that the policy will run with.
        period_s: between two sets of features, of that node.
    """

    source: Literal["recorded", "uniform"] = "recorded"
    latency_s: float = Field(default=0.1, ge=0.0, le=10.0)
    period_s: float = Field(default=1.0 / 2.6, gt=0.0, le=10.0)


def recorded_ages(store: Store, episode: Episode, stream: str, ticks: Ages) -> Ages:
    """(n,) ns, age at each tick of the features that were live there; -1 where there were none.

    The node does not record when it took its images. It was no later than its inference time before the features were
    received, and no earlier than their images arrived; the shortest way of any features of the episode is what the
    message and the encoding take at least.
    """
    blobs = store.payloads(stream, episode)
    arrived = {image.name: _arrivals(store.images(image.name, episode)) for image in store.contract.images}
    live = np.zeros(len(blobs), bool)
    spent, most = np.zeros(len(blobs), np.int64), np.full(len(blobs), UNKNOWN)
    for index in range(len(blobs)):
        features = decode_features(blobs.blob(index))
        if features is None:
            continue
        live[index], spent[index] = True, round(features.inference_s * 1e9)
        views = zip(features.view_names, features.view_stamps_ns, strict=True)
        ready = max(arrived.get(view, {}).get(stamp, UNKNOWN) for view, stamp in views)
        if ready <= blobs.receive[index]:
            most[index] = blobs.receive[index] - ready
    shortest = most.min(initial=UNKNOWN)
    if shortest < UNKNOWN:
        spent = np.minimum(np.maximum(spent, shortest), most)
    newest = np.searchsorted(blobs.receive, ticks, side="right") - 1
    there = newest >= 0
    there[there] = live[newest[there]]
    ages = np.full(len(ticks), -1, np.int64)
    ages[there] = ticks[there] - blobs.receive[newest[there]] + spent[newest[there]]
    return ages


def _arrivals(images: Blobs) -> dict[int, int]:
    """When the image of a stamp arrived; of two with one stamp the first, as the node has it."""
    return dict(zip(images.stamps[::-1].tolist(), images.receive[::-1].tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Drawable:
    """Which image sets the ticks of one episode may draw.

    Attributes:
        first, last: (n,) the oldest and the newest; first > last where there is none.
        live: (n,) what validation takes.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    live: NDArray[np.int64]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(n,) whether a tick has any."""
        valid: NDArray[np.bool_] = self.first <= self.last
        return valid


class EpisodeAges:
    """Draws image sets for the ticks of one episode."""

    def __init__(self, settings: FeatureAges, ticks: Ages, recorded: Ages, sets: ImageSets, max_age_s: float) -> None:
        """Prepares the draws.

        Args:
            settings: where ages come from.
            ticks: (n,) ns.
            recorded: (n,) ns, see `recorded_ages`.
            sets: the image sets.
            max_age_s: of the contract's features.
        """
        self._ready, self._ticks = sets.ready, ticks
        latency_ns, period_ns = round(settings.latency_s * 1e9), round(settings.period_s * 1e9)
        known = np.sort(recorded[(recorded >= 0) & (recorded <= round(max_age_s * 1e9))])
        self._known: Ages | None = known if settings.source == "recorded" and len(known) else None
        if self._known is not None:
            low, high, live = int(known[0]), int(known[-1]), np.where(recorded >= 0, recorded, known[len(known) // 2])
        else:
            started = sets.ready[0] if len(sets) else 0
            low, high = latency_ns, latency_ns + period_ns
            live = latency_ns + (ticks - latency_ns - started) % period_ns
        self._low, self._high = low, high
        oldest = sets.oldest
        # Sets come in the order of arrival; that of their stamps is the same but for clocks that step.
        allowed = np.searchsorted(np.maximum.accumulate(oldest), ticks - round(max_age_s * 1e9), side="left")
        last = self._at(ticks - low)
        first = np.maximum(np.maximum(self._at(ticks - high), allowed), 0)
        future = (last >= 0) & (oldest[last] > ticks) if len(sets) else np.zeros(len(ticks), bool)
        first = np.where(future, last + 1, first)
        self.drawable = Drawable(first, last, np.clip(self._at(ticks - live), first, np.maximum(first, last)))

    def _at(self, times: Ages) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.searchsorted(self._ready, times, side="right") - 1
        return found

    def draw(self, row: int, share: float) -> int:
        """The image set of a tick (its row) for a number in [0, 1); NaN gives what was live."""
        if share != share:
            return int(self.drawable.live[row])
        if self._known is None:
            age = self._low + share * (self._high - self._low)
        else:
            age = float(self._known[int(share * len(self._known))])
        index = int(np.searchsorted(self._ready, self._ticks[row] - round(age), side="right")) - 1
        return min(max(index, int(self.drawable.first[row])), int(self.drawable.last[row]))
