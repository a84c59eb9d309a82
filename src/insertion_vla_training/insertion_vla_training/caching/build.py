"""Computing the features of a store: by one process, by several, or by the ranks of torchrun.

The work is cut into shards of image sets. Every rank takes each WORLD_SIZE-th shard, and its processes share those; a
shard that is there is not computed again, so a run that was stopped goes on. Nobody waits for anybody.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from insertion_vla_core.workers import start_worker, worker_context
from insertion_vla_policy.protocol import Backbone, Features
from numpy.typing import NDArray

from insertion_vla_training.caching.features import FeatureCache, Shard, shards_of
from insertion_vla_training.caching.images import SetImages
from insertion_vla_training.caching.index import indexed_sets
from insertion_vla_training.caching.sets import image_sets
from insertion_vla_training.caching.tensors import DamagedFile
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store

MakeBackbone = Callable[[], Backbone]


@dataclass(frozen=True)
class Job:
    """One shard of one episode; `content` names it."""

    episode: str
    content: str
    shard: Shard

    @property
    def sets(self) -> int:
        """How many image sets."""
        return self.shard[1] - self.shard[0]


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        jobs: of this rank, those to be computed.
        sets: image sets of all ranks together.
        there: sets of this rank's shards that are cached.
        damaged: sentences about shards that are replaced.
    """

    jobs: list[Job]
    sets: int
    there: int
    damaged: list[str]


def rank_and_world(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """RANK and WORLD_SIZE as torchrun sets them, (0, 1) without it; raises ValueError for nonsense."""
    texts = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
    if not all(text.isdigit() for text in texts) or int(texts[0]) >= int(texts[1]):
        raise ValueError(
            f"expected RANK below WORLD_SIZE, got RANK={texts[0]} WORLD_SIZE={texts[1]}: start with torchrun"
        )
    return int(texts[0]), int(texts[1])


def plan(
    store: Store, episodes: Sequence[Episode], root: Path, cache: FeatureCache, rank: int = 0, world: int = 1
) -> Plan:
    """The shards of a rank that are missing or damaged."""
    jobs: list[Job] = []
    damaged: list[str] = []
    sets_of_all = there = number = 0
    with Progress("images", len(episodes), "episode") as progress:
        for episode in episodes:
            sets, content = indexed_sets(store, episode, cache.key.views, root)
            sets_of_all += len(sets)
            for shard in shards_of(len(sets)):
                number += 1
                if number % world != rank:
                    continue
                if not cache.path(content, shard).exists():
                    jobs.append(Job(episode.name, content, shard))
                    continue
                try:
                    cache.check(content, shard, numbers=False)
                    there += shard[1] - shard[0]
                except DamagedFile as error:
                    damaged.append(str(error))
                    jobs.append(Job(episode.name, content, shard))
            progress.advance()
    return Plan(jobs, sets_of_all, there, damaged)


def build(store: Path, cache: Path, jobs: Sequence[Job], make: MakeBackbone, processes: int) -> Iterator[Job]:
    """Compute shards; each is yielded when it lies on the disk, in whatever order.

    Args:
        store: folder of the store.
        cache: folder of the key.
        jobs: what to compute.
        make: gives the backbone, in the process that runs it.
        processes: how many compute at a time; 1 computes in this process.

    Raises:
        ValueError: an image or what the backbone gives cannot be used.
        OSError: the disk is full, or a process was killed.
    """
    if processes == 1 or len(jobs) < 2:
        worker = Worker(store, cache, make)
        for job in jobs:
            yield worker(job)
        return
    context = worker_context()
    stop = context.Event()
    settings = (store, cache, make, max(1, (os.cpu_count() or 1) // processes), stop)
    with ProcessPoolExecutor(
        min(processes, len(jobs)), mp_context=context, initializer=_start, initargs=settings
    ) as pool:
        try:
            for future in as_completed([pool.submit(_compute, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise OSError(
                "a process that computed features was killed, perhaps for want of memory; what was computed stays; "
                "run the same command again to go on, with fewer --jobs"
            ) from error
        finally:
            stop.set()  # nobody waits for the shards that are being computed
            pool.shutdown(cancel_futures=True)


class Worker:
    """Computes shards with a backbone of its own."""

    def __init__(self, store: Path, cache: Path, make: MakeBackbone, stop: Event | None = None) -> None:
        cv2.setNumThreads(1)
        self._stop = stop
        self._store, self._cache, self._backbone = Store.open(store), FeatureCache(cache), make()
        key = self._cache.key
        if (self._backbone.model_id, self._backbone.model_hash) != (key.model_id, key.model_hash):
            raise ValueError(
                f"expected backbone {key.model_id} {key.model_hash} as the cache says, got {self._backbone.model_id} "
                f"{self._backbone.model_hash}: its files changed while this ran; run it again"
            )

    def __call__(self, job: Job) -> Job:
        """Compute one shard."""
        images, stamps = self._images(job.episode)
        tokens = [self._tokens(images, index, job) for index in range(*job.shard)]
        shapes = {array.shape for array in tokens}
        if len(shapes) != 1:
            raise ValueError(
                f"expected features of one shape for episode '{job.episode}', got {sorted(shapes)}: a backbone must "
                "give as many tokens for every set of images of one size"
            )
        self._cache.write(job.content, job.shard, np.stack(tokens), stamps[slice(*job.shard)])
        return job

    @functools.lru_cache(maxsize=1)  # noqa: B019  shards of an episode come one after another; a worker lives as long
    def _images(self, name: str) -> tuple[SetImages, NDArray[np.int64]]:
        episode = self._store.episode(name)
        sets = image_sets(self._store, episode, self._cache.key.views)
        return SetImages(self._store, episode, sets), sets.stamps

    def _tokens(self, images: SetImages, index: int, job: Job) -> NDArray[np.float32]:
        if self._stop is not None and self._stop.is_set():
            raise ValueError("stopped")
        features: Features = self._backbone.encode(images.load(index), images.instruction)
        tokens = features.tokens
        place = f"image set {index} of episode '{job.episode}'"
        if tokens.ndim != 2 or 0 in tokens.shape or not np.isfinite(tokens).all():
            raise ValueError(
                f"expected finite features (n, d) of {place}, got shape {tokens.shape}: the backbone is broken"
            )
        if self._cache.key.dtype == "f16" and np.abs(tokens).max() > np.finfo(np.float16).max:
            raise ValueError(f"expected features within +-65504 of {place}, got larger ones: use --dtype f32")
        return tokens


_worker: Worker | None = None


def _start(store: Path, cache: Path, make: MakeBackbone, threads: int, stop: Event) -> None:
    global _worker
    start_worker()
    torch.set_num_threads(threads)
    _worker = Worker(store, cache, make, stop)


def _compute(job: Job) -> Any:
    assert _worker is not None
    return _worker(job)
