"""What a run learns from: sets of samples, the model's configuration that they allow, and the normaliser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from insertion_vla_core.contract import contract_hash
from insertion_vla_policy.checkpoint_config import BackboneRef
from insertion_vla_policy.inputs import InputSpec, input_spec
from insertion_vla_policy.model_config import DecoderConfig, DiffusionConfig, ModelConfig, VlaConfig
from insertion_vla_policy.normalizer import Normalizer, vla_normalizer
from numpy.typing import NDArray
from torch import Tensor

from insertion_vla_training.cache_features import FeatureCache
from insertion_vla_training.cache_index import FEATURES, cache_root
from insertion_vla_training.cache_key import CacheKey, find_keys
from insertion_vla_training.dataset import TrainingSet
from insertion_vla_training.dataset_episodes import DataSource
from insertion_vla_training.episode_index import TRAIN, VALIDATION
from insertion_vla_training.loader import TrainingLoader
from insertion_vla_training.statistics import load_statistics
from insertion_vla_training.store import Store
from insertion_vla_training.trainer.contact import AUX, NEAR, drawn_share
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.state_set import StateSet

Samples = TrainingSet | StateSet
NOT_TENSORS = ("index", "stamp", "images", "instructions")
ROWS_MAX = 20_000  # of actions and tokens that a normaliser looks at
HIDDEN = 1e30  # a scale that makes a constant of anything


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything that a run knows of its data.

    Attributes:
        train, validation: the samples; None where validation is switched off.
        model: configuration of the expert.
        normalizer: of inputs and actions.
        contact_share: of the drawn training samples, see contact.py.
        contract_text: of the stores; None for state policies.
        contract_hash: of the stores.
        backbone: whose features the samples have.
    """

    train: Samples
    validation: Samples | None
    model: ModelConfig
    normalizer: Normalizer
    contact_share: float
    contract_text: str | None
    contract_hash: str
    backbone: BackboneRef | None


def endless(loader: TrainingLoader) -> Iterator[dict[str, Any]]:
    """The loader's batches, epoch after epoch."""
    while True:
        yield from loader


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """The tensors that the loss needs."""
    return {
        name: value.to(device, non_blocking=True)
        for name, value in batch.items()
        if name not in NOT_TENSORS and isinstance(value, Tensor)
    }


def names_of(samples: Samples, indices: list[int]) -> list[str]:
    """Episode and tick of samples, for people."""
    return [samples.name_of(i) if isinstance(samples, StateSet) else _place(samples, i) for i in indices]


def _place(samples: TrainingSet, index: int) -> str:
    each, row = samples.place(index)
    tick_ns = int(each.file.arrays["ticks"][row])
    return f"{each.episode.name} at {(tick_ns - each.episode.start_ns) * 1e-9:.2f} s (tick {tick_ns})"


def vla_data(settings: TrainSettings, views: tuple[str, ...] = (), tokens: tuple[int, int] = (0, 0)) -> TrainingData:
    """Data of a policy on the contract's observations.

    Args:
        settings: of the run.
        views: stage 2: camera views whose images come with the samples.
        tokens: stage 2: the backbone's tokens per image set, and numbers per token.

    Raises:
        ValueError: what is missing, and how to make it.
    """
    sources, model = settings.data.sources(), settings.model
    store = Store.open(sources[0].store)
    cache = chosen_features(sources, settings.data.features)
    key = cache.key if cache else None
    if cache is not None:
        tokens = _tokens(cache)
    spec = input_spec(
        store.contract, *tokens, force_window_s=model.force_window_s, history_s=model.history_s, surface=model.surface
    )

    def samples(split: str) -> TrainingSet:
        name = cache.folder.name if cache else None
        return TrainingSet(sources, split, name, settings.data.feature_ages(), spec, views)

    train = samples(TRAIN)
    validation = _validation(settings, samples)
    config = VlaConfig(
        expert="diffusion" if settings.expert == "diffusion" else "regression",
        fusion=model.fusion,
        inputs=spec,
        decoder=DecoderConfig(size=model.size, mlp_ratio=model.mlp_ratio, dropout=model.dropout),
        diffusion=DiffusionConfig(train_steps=model.diffusion_steps),
    )
    actions = np.concatenate([each.file.arrays["action"][each.rows] for each in train.episodes])
    flags = actions[:, 0, AUX] >= NEAR
    weights = [source.weight for source in train.sources]
    return TrainingData(
        train=train,
        validation=validation,
        model=config,
        normalizer=_normalizer(train, spec, settings, _thin(actions)),
        contact_share=drawn_share(flags, train.source_of, train.weights, weights),
        contract_text=store.contract_text,
        contract_hash=contract_hash(store.contract),
        backbone=_reference(key, settings.data.backbone) if key else None,
    )


def _validation(settings: TrainSettings, samples: Any) -> Any:
    if not settings.validation.enabled:
        return None
    try:
        return samples(VALIDATION)
    except ValueError as error:
        raise ValueError(
            f"{error}. Validation needs episodes of its own: record more of them and make the store again with another "
            "preprocess --val-share or --seed, or train without it: --validation.no-enabled"
        ) from error


def chosen_features(sources: list[DataSource], wanted: str) -> FeatureCache | None:
    """The cache of the first store that goes by that name or model; None for "none".

    Raises:
        ValueError: there is none, or more than one.
    """
    if wanted == "none":
        return None
    root = cache_root(Store.open(sources[0].store).path, sources[0].cache) / FEATURES
    caches = [FeatureCache(folder) for folder in find_keys(root)]
    found = [cache for cache in caches if cache.folder.name == wanted] or [
        cache for cache in caches if cache.key.model_id == wanted
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(cache.folder.name for cache in (found or caches)) or "none"
    remedy = "name one of them" if found or caches else f"compute them: cache build {sources[0].store} --backbone ..."
    raise ValueError(f"expected one set of cached features '{wanted}' in {root}, there are {names}: {remedy}")


def _tokens(cache: FeatureCache) -> tuple[int, int]:
    """(n, d) of a cache, from its files' heads: the most tokens and their size."""
    from safetensors import safe_open

    shapes = []
    for path in sorted(cache.folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            shapes.append(file.get_slice("tokens").get_shape())
    if not shapes:
        raise ValueError(f"expected features in {cache.folder}, there are none: compute them with: cache build")
    return max(shape[1] for shape in shapes), shapes[0][2]


def _reference(key: CacheKey, source: str | None) -> BackboneRef:
    return BackboneRef(
        name=key.model_id, source=source or "", model_id=key.model_id, model_hash=key.model_hash, views=key.views
    )


def _normalizer(
    train: TrainingSet, spec: InputSpec, settings: TrainSettings, actions: NDArray[np.float32]
) -> Normalizer:
    statistics = merged([load_statistics(Store.open(source.store)) for source in train.sources])
    normalizer = vla_normalizer(statistics, spec, settings.model.normalization, _some_tokens(train, spec), actions)
    if not settings.model.robot_state:
        normalizer.scales["state"].fill_(HIDDEN)
        normalizer.scales["tool_motion"].fill_(HIDDEN)
    return normalizer


def merged(statistics: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Statistics of several stores as one: pooled means, and the widest of their quantiles."""
    result = dict(statistics[0])
    for other in statistics[1:]:
        for name in result:
            result[name] = _pair(result[name], other[name])
    return result


def _pair(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    if not min(a["count"], default=0) or not min(b["count"], default=0):
        return a if min(a["count"], default=0) else b
    n, m = np.array(a["count"], float), np.array(b["count"], float)
    mean = (n * a["mean"] + m * np.array(b["mean"])) / (n + m)
    square = (n * (np.square(a["std"]) + np.square(a["mean"])) + m * (np.square(b["std"]) + np.square(b["mean"]))) / (
        n + m
    )
    return {
        "count": (n + m).tolist(),
        "mean": mean.tolist(),
        "std": np.sqrt(np.maximum(square - mean**2, 0.0)).tolist(),
        "q01": np.minimum(a["q01"], b["q01"]).tolist(),
        "q99": np.maximum(a["q99"], b["q99"]).tolist(),
    }


def _thin(values: NDArray[Any]) -> NDArray[Any]:
    return values[:: max(1, -(-len(values) // ROWS_MAX))]


def _some_tokens(train: TrainingSet, spec: InputSpec) -> NDArray[np.float32] | None:
    """Tokens (N, d) of image sets spread over the training episodes; None where there are no cached ones."""
    found = []
    each_rows = max(1, ROWS_MAX // max(1, spec.feature_tokens) // len(train.episodes))
    for each in train.episodes:
        if each.features is not None and len(each.features):
            picks = np.unique(np.linspace(0, len(each.features) - 1, min(each_rows, len(each.features))).astype(int))
            tokens = np.concatenate([each.features.tokens(int(i)) for i in picks]).astype(np.float32)
            if not np.isfinite(tokens).all():
                raise ValueError(
                    f"expected finite features of episode '{each.episode.name}', got NaN or infinity: find them with "
                    "`cache verify`, remove the file that it names and run `cache build` again"
                )
            found.append(tokens)
    return np.concatenate(found) if found else None


def loader_of(
    data: TrainingData, settings: TrainSettings, rank: int, world: int, device: torch.device
) -> TrainingLoader:
    """The batches of one rank."""
    return TrainingLoader(
        data.train,  # type: ignore[arg-type]  # a StateSet has the same interface
        settings.optim.batch_size,
        seed=settings.seed,
        workers=settings.data.workers,
        rank=rank,
        world=world,
        pin_memory=device.type == "cuda",
    )


def copied_backbone(data: TrainingData) -> Path | None:
    """The folder of weights that goes into the checkpoint."""
    return Path(data.backbone.source) if data.backbone and data.backbone.source else None
