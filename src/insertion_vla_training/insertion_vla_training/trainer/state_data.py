"""Data of a state-diffusion run."""

from __future__ import annotations

from insertion_vla_policy.model_config import DecoderConfig, DiffusionConfig, StateDiffusionConfig
from insertion_vla_policy.normalizer import state_normalizer

from insertion_vla_training.stores.episode_index import TRAIN
from insertion_vla_training.trainer.data import TrainingData, validation_samples
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.state_set import StateSet


def state_data(settings: TrainSettings) -> TrainingData:
    """Data of a low-dimensional policy; errors as `vla_data`."""
    sources, model = settings.data.sources(), settings.model

    def samples(split: str) -> StateSet:
        return StateSet(sources, split, model.n_obs_steps, model.horizon)

    train = samples(TRAIN)
    config = StateDiffusionConfig(
        state_dim=train.states.shape[1],
        action_dim=train.actions.shape[1],
        n_obs_steps=model.n_obs_steps,
        horizon=model.horizon,
        n_action_steps=model.n_action_steps,
        decoder=DecoderConfig(size=model.size, mlp_ratio=model.mlp_ratio, dropout=model.dropout),
        diffusion=DiffusionConfig(train_steps=model.diffusion_steps),
    )
    return TrainingData(
        train=train,
        validation=validation_samples(settings, samples),
        model=config,
        normalizer=state_normalizer(train.states, train.actions, model.normalization),
        contact_share=0.0,
        contract_text=None,
        contract_hash=train.contract_hash,
        backbone=None,
    )
