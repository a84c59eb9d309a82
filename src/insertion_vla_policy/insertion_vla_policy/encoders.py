"""From normalised inputs to tokens. Where a mask says that there is no datum, nothing of the slot gets through: a
learned "absent" stands in its place, and padding of the features is left out of every attention.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from insertion_vla_policy.inputs import MOTION_CHANNELS, InputSpec
from insertion_vla_policy.layers import SelfAttention, mlp
from insertion_vla_policy.target import TARGET_CHANNELS

FORCE_PATCH, HISTORY_PATCH = 5, 4  # rows per token
ROW_SHARE = 4  # width of a single row's representation: hidden over this


class SeriesEncoder(nn.Module):
    """A window to one token per `patch` rows: each row by itself, then the patches, then their mixture."""

    def __init__(self, channels: int, mask_channels: int, rows: int, patch: int, hidden: int, heads: int) -> None:
        """`mask_channels` is `channels` for a mask per number, or 1 for a mask per row."""
        super().__init__()
        self.tokens = math.ceil(rows / patch)
        self.pad = self.tokens * patch - rows
        width = hidden // ROW_SHARE
        self.row = nn.Linear(channels, width)
        self.absent = nn.Linear(mask_channels, width, bias=False)
        self.patch = nn.Linear(patch * width, hidden)
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, hidden))
        self.norm, self.mix = nn.LayerNorm(hidden), SelfAttention(hidden, heads)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, tokens, hidden) of values (B, rows, channels), mask (B, rows, mask_channels)."""
        known = torch.where(mask, values, 0.0)
        rows = nn.functional.gelu(self.row(known) + self.absent((~mask).to(values.dtype)), approximate="tanh")
        rows = nn.functional.pad(rows, (0, 0, self.pad, 0))
        x = self.patch(rows.unflatten(1, (self.tokens, -1)).flatten(2)) + self.position
        return x + self.mix(self.norm(x))


class ForceEncoder(nn.Module):
    """The force: the newest window at full rate and the history of about a second, as tokens."""

    def __init__(self, spec: InputSpec, hidden: int, heads: int) -> None:
        super().__init__()
        channels = spec.history_channels
        self.window = SeriesEncoder(spec.force_channels, 1, spec.force_rows, FORCE_PATCH, hidden, heads)
        self.history = SeriesEncoder(channels, channels, spec.history_rows, HISTORY_PATCH, hidden, heads)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Tokens (B, n, hidden)."""
        window = self.window(inputs["force"], inputs["force_mask"][..., None])
        return torch.cat([window, self.history(inputs["history"], inputs["history_mask"])], dim=1)


class StateEncoder(nn.Module):
    """The robot's state; how old the features are and how far the tool has gone since; the trocar from the needle.

    One token each.
    """

    def __init__(self, spec: InputSpec, hidden: int) -> None:
        super().__init__()
        self.state = mlp(spec.state_channels, hidden, hidden)
        # Values, and flags of those that are missing: their weights are what is learned of "absent".
        self.since = mlp(1 + MOTION_CHANNELS + 2, hidden, hidden) if spec.feature_tokens else None
        self.target = mlp(TARGET_CHANNELS + 1, hidden, hidden) if spec.target else None

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Tokens (B, 1 to 3, hidden)."""
        tokens = [self.state(inputs["state"])]
        if self.since is not None:
            masks = torch.cat([inputs["feature_age_mask"], inputs["tool_motion_mask"]], dim=-1)
            age = torch.where(masks[:, :1], inputs["feature_age"], 0.0)
            motion = torch.where(masks[:, 1:], inputs["tool_motion"], 0.0)
            tokens.append(self.since(torch.cat([age, motion, (~masks).to(age.dtype)], dim=-1)))
        if self.target is not None:
            mask = inputs["target_mask"]
            known = torch.where(mask, inputs["target"], 0.0)
            tokens.append(self.target(torch.cat([known, (~mask).to(known.dtype)], dim=-1)))
        return torch.stack(tokens, dim=1)


class FeatureEncoder(nn.Module):
    """The backbone's tokens in the model's width, each with what belongs to its place."""

    def __init__(self, spec: InputSpec, hidden: int) -> None:
        super().__init__()
        self.token = mlp(spec.feature_dim, hidden, hidden)
        self.place = nn.Parameter(0.02 * torch.randn(spec.feature_tokens, hidden))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Tokens (B, n, hidden); those that are masked hold nothing of the input."""
        known = torch.where(inputs["features_mask"][..., None], inputs["features"], 0.0)
        return self.token(known) + self.place
