"""The state diffusion policy: the last low-dimensional states in, a horizon of actions out.

After Chi et al., "Diffusion policy" (2023), in its transformer form: the actions of the horizon mix with each other and
look at the states.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insertion_vla_policy.experts.diffusion import Denoiser
from insertion_vla_policy.experts.loss import Loss
from insertion_vla_policy.experts.noise import Sampler
from insertion_vla_policy.layers import mlp
from insertion_vla_policy.model_config import StateDiffusionConfig


class StateDiffusion(nn.Module):
    """Normalised states (B, n_obs_steps, state_dim) to normalised actions (B, horizon, action_dim).

    `inputs` is {"states": ...}, so that training treats all experts alike.
    """

    def __init__(self, config: StateDiffusionConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.decoder.hidden
        self.state = mlp(config.state_dim, hidden, hidden)
        self.place = nn.Parameter(0.02 * torch.randn(config.n_obs_steps, hidden))
        self.norm = nn.LayerNorm(hidden)
        self.denoiser = Denoiser(config.decoder, config.diffusion, *config.action_shape)

    def encoder(self, inputs: dict[str, Tensor]) -> tuple[Tensor, None]:
        """Memory (B, n_obs_steps, hidden); nothing in it is ever missing."""
        return self.norm(self.state(inputs["states"]) + self.place), None

    def act(
        self, inputs: dict[str, Tensor], noise: Tensor, sampler: Sampler, generator: torch.Generator | None = None
    ) -> Tensor:
        """Actions of normalised states, one per row of noise (N, horizon, action_dim)."""
        memory, mask = self.encoder(inputs)
        return self.denoiser.sample(memory, mask, noise, sampler, generator)

    def forward(
        self,
        inputs: dict[str, Tensor],
        actions: Tensor,
        rows: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Loss:
        """Loss per sample, as that of `Diffusion`."""
        memory, mask = self.encoder(inputs)
        return self.denoiser.loss(memory, mask, actions, rows, generator)
