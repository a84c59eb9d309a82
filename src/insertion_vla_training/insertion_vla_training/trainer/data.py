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
from insertion_vla_policy.inputs import input_spec
from insertion_vla_policy.model_config import DecoderConfig, DiffusionConfig, ModelConfig, VlaConfig
from insertion_vla_policy.normalizer import Normalizer
from torch import Tensor

from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.datasets.loader import TrainingLoader
from insertion_vla_training.stores.episode_index import TRAIN, VALIDATION
from insertion_vla_training.stores.store import Store
from insertion_vla_training.trainer.contact import AUX, NEAR, drawn_share
from insertion_vla_training.trainer.features import backbone_reference, chosen_features, token_shape
from insertion_vla_training.trainer.normalization import normalizer_for
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.state_set import StateSet

Samples = TrainingSet | StateSet
NOT_TENSORS = ("index", "stamp", "images", "instructions")


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
        tokens = token_shape(cache)
    spec = input_spec(
        store.contract,
        *tokens,
        force_window_s=model.force_window_s,
        history_s=model.history_s,
        surface=model.surface,
        target=settings.data.calibration is not None,
    )

    def samples(split: str) -> TrainingSet:
        name = cache.folder.name if cache else None
        return TrainingSet(sources, split, name, settings.data.feature_ages(), spec, views, settings.data.calibration)

    train = samples(TRAIN)
    validation = validation_samples(settings, samples)
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
        normalizer=normalizer_for(train, spec, settings, actions),
        contact_share=drawn_share(flags, train.source_of, train.weights, weights),
        contract_text=store.contract_text,
        contract_hash=contract_hash(store.contract),
        backbone=backbone_reference(key, settings.data.backbone) if key else None,
    )


def validation_samples(settings: TrainSettings, samples: Any) -> Any:
    if not settings.validation.enabled:
        return None
    try:
        return samples(VALIDATION)
    except ValueError as error:
        raise ValueError(
            f"{error}. Validation needs episodes of its own: record more of them and make the store again with another "
            "preprocess --val-share or --seed, or train without it: --validation.no-enabled"
        ) from error


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
