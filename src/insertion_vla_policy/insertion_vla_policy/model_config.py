"""What a model is made of; a few numbers and names that, with the contract, decide every shape in it."""

from __future__ import annotations

from typing import Literal

from insertion_vla_core.chunk import HORIZON
from insertion_vla_core.strict_yaml import StrictModel
from pydantic import Field, model_validator

from insertion_vla_policy.inputs import ACTION_CHANNELS, InputSpec

Size = Literal["nano", "small", "base", "large"]
FusionKind = Literal["concat", "cross_attention", "gated", "none"]

HIDDEN: dict[Size, int] = {"nano": 128, "small": 256, "base": 512, "large": 1024}
LAYERS: dict[Size, int] = {"nano": 4, "small": 4, "base": 4, "large": 6}
HEAD_DIM = 64


class DecoderConfig(StrictModel):
    """The transformer that turns action tokens into actions.

    Attributes:
        size: hidden size and depth, see HIDDEN and LAYERS.
        mlp_ratio: width of the feed-forward layers over the hidden size.
        dropout: share of numbers dropped while training.
    """

    size: Size = "small"
    mlp_ratio: int = Field(default=2, ge=1, le=8)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    @property
    def hidden(self) -> int:
        """Numbers per token."""
        return HIDDEN[self.size]

    @property
    def layers(self) -> int:
        """Blocks."""
        return LAYERS[self.size]

    @property
    def heads(self) -> int:
        """Attention heads."""
        return max(4, self.hidden // HEAD_DIM)


class DiffusionConfig(StrictModel):
    """The noise process of a diffusion expert.

    Attributes:
        train_steps: T, noise levels of the cosine schedule.
        clip: bound of normalised actions while sampling.
    """

    train_steps: int = Field(default=100, ge=2, le=10_000)
    clip: float = Field(default=3.0, gt=0.0)


class VlaConfig(StrictModel):
    """A policy on the contract's observations.

    Attributes:
        expert: how actions are found.
        fusion: how the force meets what is seen; "none" leaves the force out altogether.
        inputs: shapes of the observation.
        decoder: size of the model.
        diffusion: noise process; without effect on the regression expert.
    """

    expert: Literal["regression", "diffusion"]
    fusion: FusionKind = "concat"
    inputs: InputSpec
    decoder: DecoderConfig = DecoderConfig()
    diffusion: DiffusionConfig = DiffusionConfig()

    @property
    def action_shape(self) -> tuple[int, int]:
        """(horizon, channels) of an action."""
        return HORIZON, ACTION_CHANNELS


class StateDiffusionConfig(StrictModel):
    """A low-dimensional policy: the last states in, a horizon of actions out.

    Attributes:
        expert: always "state_diffusion".
        state_dim: numbers per state.
        action_dim: numbers per action.
        n_obs_steps: states that are looked at.
        horizon: actions that are planned; the first belongs to the oldest state.
        n_action_steps: actions to carry out before planning anew.
        decoder: size of the model.
        diffusion: noise process.
    """

    expert: Literal["state_diffusion"] = "state_diffusion"
    state_dim: int = Field(ge=1)
    action_dim: int = Field(ge=1)
    n_obs_steps: int = Field(default=2, ge=1)
    horizon: int = Field(default=16, ge=1)
    n_action_steps: int = Field(default=8, ge=1)
    decoder: DecoderConfig = DecoderConfig()
    diffusion: DiffusionConfig = DiffusionConfig()

    @model_validator(mode="after")
    def _fits(self) -> StateDiffusionConfig:
        if self.n_obs_steps - 1 + self.n_action_steps > self.horizon:
            raise ValueError(
                f"expected a horizon of at least n_obs_steps - 1 + n_action_steps = "
                f"{self.n_obs_steps - 1 + self.n_action_steps}, got {self.horizon}"
            )
        return self

    @property
    def action_shape(self) -> tuple[int, int]:
        """(horizon, channels) of an action."""
        return self.horizon, self.action_dim


ModelConfig = VlaConfig | StateDiffusionConfig
