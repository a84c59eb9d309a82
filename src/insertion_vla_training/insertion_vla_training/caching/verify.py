"""Proof that a store is ready for training with some features: every entry that a sample may draw is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from insertion_vla_policy.inputs import input_spec

from insertion_vla_training.caching.features import FeatureCache, shards_of
from insertion_vla_training.caching.images import SetImages
from insertion_vla_training.caching.index import indexed_sets
from insertion_vla_training.caching.sets import image_sets
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.datasets.ages import EpisodeAges, FeatureAges
from insertion_vla_training.datasets.episodes import LabelSource
from insertion_vla_training.datasets.prepare import features_max_age_s, prepared
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store


@dataclass
class Verdict:
    """What was found.

    Attributes:
        samples: ticks that have all entries that they may draw.
        entries: image sets with features.
        drawn: of them, those that some sample may draw.
        left_out: ticks at which no live policy could have had features: before the first ones, and in gaps.
        ages_s: (least, most) age of the oldest image that a sample may draw, without samples None.
        problems: sentences; empty if all is well.
    """

    samples: int = 0
    entries: int = 0
    drawn: int = 0
    left_out: int = 0
    ages_s: tuple[float, float] | None = None
    problems: list[str] = field(default_factory=list)


def verify(
    store: Store, episodes: Sequence[Episode], root: Path, cache: FeatureCache, ages: FeatureAges, label: LabelSource
) -> Verdict:
    """Look at every image, every shard and every sample of the episodes."""
    verdict = Verdict()
    with Progress("verify", len(episodes), "episode") as progress:
        for episode in episodes:
            try:
                _verify(store, episode, root, cache, ages, label, verdict)
            except ValueError as error:
                verdict.problems.append(str(error))
            progress.advance()
    return verdict


def _verify(
    store: Store,
    episode: Episode,
    root: Path,
    cache: FeatureCache,
    ages: FeatureAges,
    label: LabelSource,
    verdict: Verdict,
) -> None:
    views = cache.key.views
    sets, content = indexed_sets(store, episode, views, root)
    # Not from the index: this is where images that were changed in place are found out.
    if SetImages(store, episode, image_sets(store, episode, views)).content_hash() != content:
        raise ValueError(
            f"the images of episode '{episode.name}' in {store.path} have changed since their features were computed: "
            f"make the store again from its bags, or remove {root} and run: cache build"
        )
    missing: set[int] = set()
    for shard in shards_of(len(sets)):
        try:
            cache.check(content, shard)
            verdict.entries += shard[1] - shard[0]
        except ValueError as error:
            missing |= set(range(*shard))
            verdict.problems.append(f"episode '{episode.name}': {error}")
    file = prepared(store, episode, input_spec(store.contract, 0, 0), label, sets, root)
    ticks = file.arrays["ticks"]
    drawable = EpisodeAges(ages, ticks, file.arrays["recorded_age"], sets, features_max_age_s(store.contract)).drawable
    valid = np.flatnonzero(drawable.valid)
    verdict.left_out += len(ticks) - len(valid)
    drawn: set[int] = set()
    for first, last in zip(drawable.first[valid].tolist(), drawable.last[valid].tolist(), strict=True):
        entries = set(range(first, last + 1))
        drawn |= entries
        verdict.samples += not entries & missing
    verdict.drawn += len(drawn)
    if len(valid):
        least = float((ticks[valid] - sets.oldest[drawable.last[valid]]).min()) * 1e-9
        most = float((ticks[valid] - sets.oldest[drawable.first[valid]]).max()) * 1e-9
        before = verdict.ages_s or (least, most)
        verdict.ages_s = min(before[0], least), max(before[1], most)
