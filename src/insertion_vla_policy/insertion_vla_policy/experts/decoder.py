"""The decoder that all learned experts share: action tokens mix across the horizon and look at the observation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from insertion_vla_policy.layers import Block, KeysValues, mlp
from insertion_vla_policy.model_config import DecoderConfig

LEVEL_ROWS = 4  # scale and shift before mixing, and before thinking


class Decoder(nn.Module):
    """Blocks over tokens (B, horizon, hidden), conditioned on a memory and, for diffusion, on a noise level."""

    waves: Tensor

    def __init__(self, config: DecoderConfig, horizon: int, outputs: int, levels: int = 0) -> None:
        """`outputs`: numbers per row of the horizon; `levels`: noise levels of a diffusion expert, 0 for none."""
        super().__init__()
        hidden = config.hidden
        self.blocks = nn.ModuleList(
            Block(hidden, config.heads, config.mlp_ratio, config.dropout) for _ in range(config.layers)
        )
        self.position = nn.Parameter(0.02 * torch.randn(horizon, hidden))
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, outputs)
        self.level: nn.Module | None = None
        if levels:
            self.register_buffer("waves", sinusoids(levels, hidden), persistent=False)
            self.level = mlp(hidden, hidden, config.layers * LEVEL_ROWS * hidden)

    def condition(self, memory: Tensor) -> list[KeysValues]:
        """Keys and values (per block) of a memory (B, M, hidden): all that the steps of one chunk share."""
        return [block.look.keys_values(memory) for block in self.blocks if isinstance(block, Block)]

    def levels(self, t: Tensor) -> Tensor:
        """Scales and shifts (B, layers, 4, hidden) of noise levels t (B,)."""
        assert self.level is not None
        return self.level(self.waves[t]).unflatten(-1, (len(self.blocks), LEVEL_ROWS, -1))

    def forward(
        self, tokens: Tensor, condition: list[KeysValues], mask: Tensor | None, levels: Tensor | None = None
    ) -> Tensor:
        """Rows (B, horizon, outputs) of tokens (B, horizon, hidden); `levels` by `levels(t)`."""
        x = tokens + self.position
        for index, block in enumerate(self.blocks):
            x = block(x, condition[index], mask, None if levels is None else levels[:, index])
        return self.head(self.norm(x))


def sinusoids(levels: int, size: int) -> Tensor:
    """(levels, size) sines and cosines of 0 .. levels - 1, wavelengths from 2 pi up to 2 pi * 10 000."""
    rates = torch.exp(torch.arange(size // 2) * (-math.log(10_000.0) / (size // 2)))
    angles = torch.arange(levels)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
