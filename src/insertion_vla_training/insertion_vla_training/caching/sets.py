"""Image sets: the combinations of newest images that the live vlm node could have encoded.

The vlm node encodes the newest image of every view, by the time of receipt. Cameras send one after another, so most
combinations stand for a few milliseconds only. One set is kept for every image of the slowest view (that with the
fewest images, of equals the first): the combination that stood longest while that image was the newest of its view.
As live, an image with the stamp of the one before is no new one, and there is no set while a view has been silent for
three periods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from insertion_vla_core.contract import Contract
from numpy.typing import NDArray

from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store

SILENT_PERIODS = 3


@dataclass(frozen=True, eq=False)
class ImageSets:
    """The image sets of one episode, in the order in which they became known.

    Attributes:
        views: V names, in the order of the columns.
        frames: (S, V) which of the view's images.
        stamps: (S, V) ns, when each was taken.
        ready: (S,) ns, when the last of them had arrived; rising.
    """

    views: tuple[str, ...]
    frames: NDArray[np.int64]
    stamps: NDArray[np.int64]
    ready: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ready)

    @property
    def oldest(self) -> NDArray[np.int64]:
        """(S,) ns, stamp of the oldest image of each set: that of its features."""
        oldest: NDArray[np.int64] = self.stamps.min(axis=1, initial=np.iinfo(np.int64).max)
        return oldest


def check_views(contract: Contract, views: tuple[str, ...]) -> None:
    """Raises ValueError unless views are different views of the contract."""
    known = [image.name for image in contract.images]
    unknown = [view for view in views if view not in known]
    if unknown or not views or len(set(views)) != len(views):
        raise ValueError(
            f"expected different views of the contract ({', '.join(known)}), got {', '.join(views) or 'none'}: "
            "name each once, in the order of the backbone"
        )


def image_sets(store: Store, episode: Episode, views: tuple[str, ...]) -> ImageSets:
    """The sets of an episode, of some views in this order."""
    check_views(store.contract, views)
    rates = {image.name: image.rate_hz for image in store.contract.images}
    silent_ns = [round(SILENT_PERIODS * 1e9 / rates[view]) for view in views]
    tables = [store.images(view, episode) for view in views]
    receive = np.concatenate([table.receive for table in tables])
    view_of = np.repeat(np.arange(len(views)), [len(table) for table in tables])
    frame_of = np.concatenate([np.arange(len(table)) for table in tables])
    order = np.argsort(receive, kind="stable")
    slowest = min(range(len(views)), key=lambda index: len(tables[index]))
    newest, arrived = [-1] * len(views), [0] * len(views)
    stood = _Longest(slowest)
    for event in order.tolist():
        view, frame, now = int(view_of[event]), int(frame_of[event]), int(receive[event])
        stamps = tables[view].stamps
        if newest[view] >= 0 and stamps[frame] == stamps[newest[view]]:
            continue
        stood.until(now)
        newest[view], arrived[view] = frame, now
        alive_until = min(at + limit for at, limit in zip(arrived, silent_ns, strict=True))
        if min(newest) >= 0 and now <= alive_until:
            stood.begin(now, tuple(newest), alive_until)
    stood.until(int(receive.max(initial=0)) + silent_ns[slowest])
    frames = np.array([frames for _, frames in stood.found], np.int64).reshape(-1, len(views))
    stamps = np.stack([table.stamps[frames[:, index]] for index, table in enumerate(tables)], axis=1)
    return ImageSets(views, frames, stamps, np.array([ready for ready, _ in stood.found], np.int64))


class _Longest:
    """Of the combinations with the same image of the slowest view, the one that stood longest.

    Attributes:
        found: (ready, frames) of each.
    """

    def __init__(self, slowest: int) -> None:
        self.found: list[tuple[int, tuple[int, ...]]] = []
        self._slowest = slowest
        self._stands: tuple[int, tuple[int, ...]] | None = None
        self._alive_until = 0
        self._best_ns = -1

    def begin(self, now: int, frames: tuple[int, ...], alive_until: int) -> None:
        self._stands, self._alive_until = (now, frames), alive_until

    def until(self, now: int) -> None:
        if self._stands is None:
            return
        stood_ns = min(now, self._alive_until) - self._stands[0]
        if not self.found or self.found[-1][1][self._slowest] != self._stands[1][self._slowest]:
            self.found.append(self._stands)
            self._best_ns = stood_ns
        elif stood_ns > self._best_ns:
            self.found[-1] = self._stands
            self._best_ns = stood_ns
        self._stands = None
