"""The training set: samples of several stores, drawn with features of live ages, in batches of numpy arrays.

    data = TrainingSet([DataSource(store="data/sim", weight=3), DataSource(store="data/lab", weight=1)], "train",
                       features="tiny_vl-0123456789abcdef")
    data.batch([0, 17, 4], shares=[0.2, 0.9, 0.5])
    {"state": (3, 15), "force": ..., "features": (3, n, d), "feature_age": (3, 1), ..., "action": (3, 8, 7), ...}

A sample is one recorded tick (dataset_labels). Its inputs equal `build_inputs` of what the live node would have seen,
in physical units; normalising is the policy's. Episodes are for training or for validation as the store says. All
arrays are mapped files, which processes share; opening the set computes what is missing of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.contract import differences
from insertion_vla_policy.experts.trocar_estimate import pose_from_row
from insertion_vla_policy.inputs import Inputs, InputSpec, input_spec
from insertion_vla_policy.target import target_row
from numpy.typing import NDArray
from torch.utils.data import Dataset

from insertion_vla_training.caching.features import EpisodeFeatures, FeatureCache, most_tokens
from insertion_vla_training.caching.images import SetImages
from insertion_vla_training.caching.index import FEATURES, cache_root, indexed_sets
from insertion_vla_training.caching.sets import ImageSets
from insertion_vla_training.caching.tensors import TensorFile
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.datasets.ages import EpisodeAges, FeatureAges
from insertion_vla_training.datasets.episodes import DataSource, usable_episodes
from insertion_vla_training.datasets.prepare import INPUT, features_max_age_s, prepared
from insertion_vla_training.datasets.targets import targets_of
from insertion_vla_training.stores.episode_index import VALIDATION, Episode
from insertion_vla_training.stores.store import Store

Batch = dict[str, Any]
OpenEpisode = tuple[Episode, ImageSets, EpisodeFeatures | None]
NO_SETS = ImageSets((), *(np.zeros(shape, np.int64) for shape in ((0, 0), (0, 0), (0,))))


@dataclass(frozen=True, eq=False)
class EpisodeSamples:
    """One episode of a training set.

    Attributes:
        source: number of its source.
        episode: its entry in the store.
        sets, oldest: its image sets, and the stamp of each one's oldest image [ns].
        file: its samples, see dataset_prepare.
        rows: (n,) which of them have features.
        ages: draws their image sets.
        features: by image set; None without.
        targets: the named trocar by image set, see targets.py; None without.
    """

    source: int
    episode: Episode
    sets: ImageSets
    oldest: NDArray[np.int64]
    file: TensorFile
    rows: NDArray[np.int64]
    ages: EpisodeAges | None
    features: EpisodeFeatures | None
    targets: TensorFile | None


class TrainingSet(Dataset[Batch]):
    """See the module's docstring.

    Attributes:
        sources: the stores.
        spec: shapes of the inputs.
        episodes: those with at least one sample.
        source_of: (N,) number of each sample's source.
        weights: (N,) how often each is drawn, relative to the other samples of its source.
        left_out: recorded ticks that are no samples because no features could have been live there.
    """

    def __init__(
        self,
        sources: Sequence[DataSource],
        split: str,
        features: str | None = None,
        ages: FeatureAges | None = None,
        spec: InputSpec | None = None,
        image_views: tuple[str, ...] = (),
        calibration: str | Path | None = None,
    ) -> None:
        """Opens the stores.

        Args:
            sources: stores with one contract.
            split: "train" or "val".
            features: name of the folder of cached features (`cache list`); None for a policy that does not see.
            ages: of the features; by default those of `FeatureAges()`.
            spec: shapes of the inputs; by default all that contract and features can give.
            image_views: instead of cached features, give the images of these views in every batch (`images`, a list of
                Image per sample, and `instructions`), for a backbone that is trained too; `features` stay masked. Slow:
                pictures are decoded.
            calibration: file of the cameras, for a spec with a target.

        Raises:
            ValueError: features are missing or damaged, contracts differ, there are no samples, ...; what to do is in
                the sentence.
            OSError: the samples cannot be kept.
        """
        if features and image_views:
            raise ValueError("expected cached features or images, got both: leave one out")
        self.sources = tuple(source for source in sources if source.weight > 0)
        self.validation = split == VALIDATION
        self._split, self._ages, self._with_images = split, ages or FeatureAges(), bool(image_views)
        self._stores = [Store.open(source.store) for source in self.sources]
        if not self._stores:
            raise ValueError("expected at least one source with a weight above 0, got none: name a store")
        _check_contracts(self._stores)
        opened = [
            _with_sets(source, store, split, features, image_views)
            for source, store in zip(self.sources, self._stores, strict=True)
        ]
        given = [features for source in opened for _, _, features in source if features is not None]
        self.spec = spec or input_spec(self._stores[0].contract, *most_tokens(given))
        self._features, self._calibration = features, Path(calibration) if calibration else None
        if self.spec.target and (self._calibration is None or not features):
            raise ValueError(
                "expected cached features and a camera calibration for a policy that has the trocar in space as an "
                "input: name both (--data.features, --data.calibration), or train without"
            )
        self.episodes: list[EpisodeSamples] = []
        self.left_out = 0
        self._opened: dict[tuple[int, int], SetImages] = {}
        total = sum(len(source) for source in opened)
        with Progress("samples", total, "episode") as progress:
            for number, source in enumerate(opened):
                self._prepare(number, source, progress)
        self._index()

    def _prepare(self, number: int, opened: list[OpenEpisode], progress: Progress) -> None:
        """The samples of one source's episodes; processes that do this at once begin at different ones."""
        source, store = self.sources[number], self._stores[number]
        root = cache_root(store.path, source.cache)
        files: dict[int, TensorFile] = {}
        targets: dict[int, TensorFile] = {}
        for turn in range(len(opened)):
            at = (turn + os.getpid()) % len(opened)
            episode, sets, features = opened[at]
            files[at] = prepared(store, episode, self.spec, source.label, sets, root)
            if self.spec.target and features is not None:
                assert self._features is not None and self._calibration is not None
                targets[at] = targets_of(store, episode, sets, features, self._features, self._calibration, root)
            progress.advance()
        for at, (episode, sets, features) in enumerate(opened):
            ticks = files[at].arrays["ticks"]
            rows, ages = np.arange(len(ticks)), None
            if sets.views:
                recorded = files[at].arrays["recorded_age"]
                ages = EpisodeAges(self._ages, ticks, recorded, sets, features_max_age_s(store.contract))
                rows = np.flatnonzero(ages.drawable.valid)
            self.left_out += len(ticks) - len(rows)
            if len(rows):
                self.episodes.append(
                    EpisodeSamples(number, episode, sets, sets.oldest, files[at], rows, ages, features, targets.get(at))
                )

    def _index(self) -> None:
        counts = [len(each.rows) for each in self.episodes]
        if not counts:
            places = ", ".join(source.store for source in self.sources)
            raise ValueError(
                f"expected samples of split '{self._split}' in {places}, there are none ({self.left_out} ticks "
                "have no features): record more episodes, or see `preprocess` and `inspect` for why they are bad"
            )
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self.source_of = np.repeat([each.source for each in self.episodes], counts)
        self.weights = np.repeat([each.episode.weight for each in self.episodes], counts)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, item: int | tuple[int, float]) -> Batch:
        """One sample: a batch of one without its first axis; `item` is its index, or that and a share (see batch)."""
        batch = self.__getitems__([item])
        return {name: values[0] for name, values in batch.items()}

    def __getitems__(self, items: Sequence[int | tuple[int, float]]) -> Batch:
        """A batch, as torch's loaders ask for it."""
        pairs = [item if isinstance(item, tuple) else (item, float("nan")) for item in items]
        return self.batch([index for index, _ in pairs], [share for _, share in pairs])

    def place(self, index: int) -> tuple[EpisodeSamples, int]:
        """The episode of a sample, and its row there."""
        if not 0 <= index < len(self):
            raise IndexError(f"expected a sample below {len(self)}, got {index}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        each = self.episodes[number]
        return each, int(each.rows[index - int(self._starts[number])])

    def batch(self, indices: Sequence[int], shares: Sequence[float]) -> Batch:
        """Samples as arrays (B, ...): the inputs, `action`, `index`, `stamp` [ns].

        Args:
            indices: of the samples.
            shares: numbers in [0, 1) that decide the ages of their features; NaN for those that were live. A validation
                set takes no others.
        """
        count, shapes = len(indices), self.spec.shapes()
        batch: Batch = {
            name: np.zeros((count, *shape), bool if name.endswith("_mask") else np.float32)
            for name, shape in shapes.items()
        }
        batch["action"] = np.empty((count, *self.episodes[0].file.arrays["action"].shape[1:]), np.float32)
        batch["index"], batch["stamp"] = np.array(indices, np.int64), np.empty(count, np.int64)
        names = [name for name in shapes if INPUT + name in self.episodes[0].file.arrays]
        drawn = []
        for at, (index, share) in enumerate(zip(indices, shares, strict=True)):
            each, row = self.place(index)
            arrays = each.file.arrays
            for name in names:
                batch[name][at] = arrays[INPUT + name][row]
            batch["action"][at] = arrays["action"][row]
            batch["stamp"][at] = arrays["ticks"][row]
            if each.ages is not None:
                chosen = each.ages.draw(row, float("nan") if self.validation else share)
                self._see(batch, at, each, row, chosen)
                drawn.append((each, chosen))
        if self._with_images:
            batch["images"] = [self._images(each).load(chosen) for each, chosen in drawn]
            batch["instructions"] = [each.episode.instruction for each, _ in drawn]
        return batch

    def _see(self, batch: Inputs, at: int, each: EpisodeSamples, row: int, chosen: int) -> None:
        """What `feature_inputs` gives for the features of one image set."""
        arrays = each.file.arrays
        if each.features is not None:
            tokens = each.features.tokens(chosen)
            batch["features"][at, : len(tokens)] = tokens
            batch["features_mask"][at, : len(tokens)] = True
        batch["feature_age"][at, 0] = (int(arrays["ticks"][row]) - int(each.oldest[chosen])) * 1e-9
        batch["feature_age_mask"][at] = True
        back = int(arrays["newest_set"][row]) - chosen
        if back < arrays["motion"].shape[1]:
            batch["tool_motion"][at] = arrays["motion"][row, back]
            batch["tool_motion_mask"][at] = arrays["motion_mask"][row, back]
        if each.targets is not None:
            mouth = each.targets.arrays["mouth"][chosen]
            if np.isfinite(mouth).all():
                tool = pose_from_row(arrays["tool"][row])
                batch["target"][at] = target_row(mouth, each.targets.arrays["axis"][chosen], tool)
                batch["target_mask"][at] = True

    def _images(self, each: EpisodeSamples) -> SetImages:
        key = (each.source, each.episode.index)
        if key not in self._opened:
            self._opened[key] = SetImages(self._stores[each.source], each.episode, each.sets)
        return self._opened[key]


def _check_contracts(stores: Sequence[Store]) -> None:
    for store in stores[1:]:
        wrong = differences(store.contract, stores[0].contract)
        if wrong:
            raise ValueError(
                f"expected stores of one contract, {store.path} differs from {stores[0].path} in {wrong[0]} and "
                f"{len(wrong) - 1} other places: train on one of them alone"
            )


def _with_sets(
    source: DataSource, store: Store, split: str, features: str | None, image_views: tuple[str, ...]
) -> list[OpenEpisode]:
    """The usable episodes with their image sets and cached features."""
    root = cache_root(store.path, source.cache)
    cache = FeatureCache(root / FEATURES / features) if features else None
    views = cache.key.views if cache else image_views
    result: list[OpenEpisode] = []
    for episode in usable_episodes(store, split, source.include_bad, source.include_failed):
        sets, content = indexed_sets(store, episode, views, root) if views else (NO_SETS, "")
        result.append((episode, sets, cache.episode(content, len(sets), episode.name) if cache else None))
    return result
