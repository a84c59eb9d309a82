"""The layers that every expert is made of: attention whose keys and values can be kept, and the decoder block.

Pre-norm transformer decoder (Vaswani et al., "Attention is all you need", 2017). The noise level of a diffusion expert
shifts and scales the normalised tokens (Peebles & Xie, "Scalable diffusion models with transformers", 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]  # each (B, heads, M, head_dim)


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a GELU between them."""
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(approximate="tanh"), nn.Linear(width, outputs))


class CrossAttention(nn.Module):
    """Attention of queries to a memory whose keys and values are computed apart, once for many calls."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key_value = nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def keys_values(self, memory: Tensor) -> KeysValues:
        """Keys and values of a memory (B, M, hidden)."""
        keys, values = self.key_value(memory).chunk(2, dim=-1)
        return split_heads(keys, self.heads), split_heads(values, self.heads)

    def forward(self, x: Tensor, keys_values: KeysValues, mask: Tensor | None) -> Tensor:
        """Attend from x (B, N, hidden); mask (B, 1, 1, M) is True where there is something to look at."""
        keys, values = keys_values
        seen = F.scaled_dot_product_attention(split_heads(self.query(x), self.heads), keys, values, attn_mask=mask)
        return self.out(join_heads(seen))


class SelfAttention(nn.Module):
    """Attention among the tokens of a sequence, all to all."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Mix x (B, N, hidden)."""
        parts = self.query_key_value(x).chunk(3, dim=-1)
        query, keys, values = (split_heads(part, self.heads) for part in parts)
        return self.out(join_heads(F.scaled_dot_product_attention(query, keys, values)))


class Block(nn.Module):
    """Self-attention over the horizon, attention to the memory, feed-forward."""

    def __init__(self, hidden: int, heads: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.norm_self, self.mix = nn.LayerNorm(hidden), SelfAttention(hidden, heads)
        self.norm_cross, self.look = nn.LayerNorm(hidden), CrossAttention(hidden, heads)
        self.norm_mlp, self.think = nn.LayerNorm(hidden), mlp(hidden, mlp_ratio * hidden, hidden)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, keys_values: KeysValues, mask: Tensor | None, level: Tensor | None) -> Tensor:
        """One block on x (B, N, hidden).

        Args:
            x: tokens.
            keys_values: of the memory, by `look.keys_values`.
            mask: (B, 1, 1, M), True where the memory has something.
            level: (B, 4, hidden) scale and shift before mixing and thinking, None without noise levels.
        """
        x = x + self.drop(self.mix(modulated(self.norm_self(x), level, 0)))
        x = x + self.drop(self.look(self.norm_cross(x), keys_values, mask))
        return x + self.drop(self.think(modulated(self.norm_mlp(x), level, 2)))


def modulated(x: Tensor, level: Tensor | None, row: int) -> Tensor:
    """x (B, N, hidden) scaled and shifted by two rows of `level` (B, 4, hidden)."""
    return x if level is None else torch.addcmul(level[:, row + 1, None], x, 1.0 + level[:, row, None])


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, hidden) -> (B, heads, N, head_dim)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, N, head_dim) -> (B, N, hidden)."""
    return x.transpose(1, 2).flatten(2)
