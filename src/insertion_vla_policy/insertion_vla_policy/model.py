"""Models from their configuration."""

from __future__ import annotations

from torch import nn

from insertion_vla_policy.experts.diffusion import Diffusion
from insertion_vla_policy.experts.regression import Regression
from insertion_vla_policy.experts.state_diffusion import StateDiffusion
from insertion_vla_policy.model_config import ModelConfig, VlaConfig

Model = Regression | Diffusion | StateDiffusion


def build_model(config: ModelConfig) -> Model:
    """A model with fresh weights, drawn by torch's global generator: seed it before.

    Training: `loss = model(inputs, actions, rows)`, normalised by the Normalizer; `loss.per_sample.mean().backward()`.
    """
    if isinstance(config, VlaConfig):
        return Regression(config) if config.expert == "regression" else Diffusion(config)
    return StateDiffusion(config)


def parameter_count(model: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
