"""The diffusion expert: a chunk is drawn out of noise, step by step, while looking at the observation.

Everything that depends on the observation alone (encoders, keys and values of every block) is computed once per chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insertion_vla_policy.experts.decoder import Decoder
from insertion_vla_policy.experts.loss import Loss, mean_over_rows
from insertion_vla_policy.experts.noise import Sampler, add_noise
from insertion_vla_policy.fusion import ObservationEncoder
from insertion_vla_policy.layers import KeysValues
from insertion_vla_policy.model_config import DecoderConfig, DiffusionConfig, VlaConfig


class Denoiser(nn.Module):
    """Sees the noise in noisy actions (B, horizon, channels)."""

    def __init__(self, config: DecoderConfig, diffusion: DiffusionConfig, horizon: int, channels: int) -> None:
        super().__init__()
        self.shape, self.train_steps = (horizon, channels), diffusion.train_steps
        self.embed = nn.Linear(channels, config.hidden)
        self.decoder = Decoder(config, horizon, channels, levels=diffusion.train_steps)

    def forward(self, noisy: Tensor, levels: Tensor, condition: list[KeysValues], mask: Tensor | None) -> Tensor:
        """The noise in `noisy`; `levels` by `decoder.levels(t)`, `condition` by `decoder.condition(memory)`."""
        return self.decoder(self.embed(noisy), condition, mask, levels)

    def loss(
        self,
        memory: Tensor,
        mask: Tensor | None,
        actions: Tensor,
        rows: Tensor | None,
        generator: torch.Generator | None,
    ) -> Loss:
        """Mean squared error of the noise seen in actions with noise of random levels."""
        device = actions.device
        t = torch.randint(self.train_steps, (len(actions),), generator=generator, device=device)
        noise = torch.randn(actions.shape, generator=generator, device=device, dtype=actions.dtype)
        noisy = add_noise(actions, noise, t, self.train_steps)
        seen = self(noisy, self.decoder.levels(t), self.decoder.condition(memory), mask)
        return Loss(mean_over_rows((seen - noise).square().mean(dim=-1), rows), {"diffusion_t": t})

    def sample(
        self,
        memory: Tensor,
        mask: Tensor | None,
        noise: Tensor,
        sampler: Sampler,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Actions drawn out of noise (B, horizon, channels); the generator is for the noise that DDPM adds."""
        condition = self.decoder.condition(memory)
        levels = self.decoder.levels(torch.tensor(sampler.levels, device=noise.device))
        x = noise
        for index in range(len(sampler.levels)):
            seen = self(x, levels[index : index + 1], condition, mask)
            x = sampler.step(index, seen, x, generator)
        return x


class Diffusion(nn.Module):
    """Normalised inputs to normalised actions (B, horizon, channels).

    `forward` is the training loss, so that wrappers for data-parallel training see it; `act` is inference.
    """

    def __init__(self, config: VlaConfig) -> None:
        super().__init__()
        self.config = config
        hidden, (horizon, channels) = config.decoder.hidden, config.action_shape
        self.encoder = ObservationEncoder(config.inputs, config.fusion, hidden, config.decoder.heads)
        self.denoiser = Denoiser(config.decoder, config.diffusion, horizon, channels)

    def act(
        self, inputs: dict[str, Tensor], noise: Tensor, sampler: Sampler, generator: torch.Generator | None = None
    ) -> Tensor:
        """Actions of normalised inputs, one per row of noise (N, horizon, channels).

        Inputs of one sample serve any number of noises; otherwise there must be as many.
        """
        memory, mask = self.encoder(inputs)
        return self.denoiser.sample(memory, mask, noise, sampler, generator)

    def forward(
        self,
        inputs: dict[str, Tensor],
        actions: Tensor,
        rows: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Loss:
        """Loss per sample.

        Args:
            inputs: normalised, each (B, ...).
            actions: (B, horizon, channels), normalised.
            rows: (B, horizon) True where there is an action; None: everywhere.
            generator: of noise and noise levels; None: torch's own.
        """
        memory, mask = self.encoder(inputs)
        return self.denoiser.loss(memory, mask, actions, rows, generator)
