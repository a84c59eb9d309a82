"""Qwen2.5-VL's vision tower for still pictures, all views at once.

The weights and modules are transformers'; only the way through them is new. transformers calls the attention once per
window of each picture, thousands of small calls; here all windows are rows of one call, padded to the largest. And a
still picture, which stands for both frames of the tower's pair, is embedded once by the sum of the pair's weights.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index


@dataclass(frozen=True, eq=False)
class Rows:
    """Which patches attend to each other: rows of a padded table.

    Attributes:
        index: (rows, length) patches; padding points at patch 0.
        back: (patches,) where each patch stands in the flattened table.
        mask: (rows, 1, 1, length) True for patches, None where all rows are full.
    """

    index: Tensor
    back: Tensor
    mask: Tensor | None

    @staticmethod
    def of(lengths: list[int], device: torch.device) -> "Rows":
        """Rows of consecutive patches."""
        longest, starts = max(lengths), [sum(lengths[:i]) for i in range(len(lengths))]
        within = torch.arange(longest)[None].expand(len(lengths), -1)
        real = within < torch.tensor(lengths)[:, None]
        index = torch.where(real, within + torch.tensor(starts)[:, None], 0)
        mask = None if real.all() else real[:, None, None].to(device)
        return Rows(index.to(device), real.flatten().nonzero()[:, 0].to(device), mask)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that depends on the pictures' sizes alone."""

    order: Tensor
    reverse: Tensor
    cos: Tensor
    sin: Tensor
    windows: Rows
    pictures: Rows


class VisionTower:
    """Visual tokens of batches of pictures."""

    def __init__(self, visual: Any) -> None:
        """Takes transformers' tower; its weights stay where they are."""
        self._visual = visual
        weight = visual.patch_embed.proj.weight
        self._embed = weight.detach().float().sum(dim=2).flatten(1).to(weight.dtype)
        self._plans: dict[tuple[tuple[int, int], ...], Plan] = {}

    def __call__(self, patches: Tensor, grids: tuple[tuple[int, int], ...]) -> Tensor:
        """Visual tokens (m, d), pictures one after the other.

        Args:
            patches: (n, 3 * patch * patch), see `images.Patches`.
            grids: rows and columns of patches of each picture.
        """
        if grids not in self._plans:
            self._plans[grids] = self._plan(grids, patches.device)
        plan, visual = self._plans[grids], self._visual
        unit = visual.spatial_merge_unit
        x = F.linear(patches.to(self._embed.dtype), self._embed)
        x = x.view(-1, unit, x.shape[-1])[plan.order].flatten(0, 1)
        for number, block in enumerate(visual.blocks):
            rows = plan.pictures if number in visual.fullatt_block_indexes else plan.windows
            x = x + attend(block.attn, block.norm1(x), rows, plan.cos, plan.sin)
            x = x + block.mlp(block.norm2(x))
        merged: Tensor = visual.merger(x)
        return merged[plan.reverse]

    def _plan(self, grids: tuple[tuple[int, int], ...], device: torch.device) -> Plan:
        visual = self._visual
        thw = torch.tensor([(1, *grid) for grid in grids])
        order, ends = get_vision_window_index(
            thw,
            spatial_merge_size=visual.spatial_merge_size,
            window_size=visual.window_size,
            patch_size=visual.patch_size,
        )
        cos, sin = visual.rotary_pos_emb(
            torch.empty(0, device=device), get_vision_position_ids(thw, visual.spatial_merge_size).to(device)
        )
        order = order.to(device)
        cos, sin = (
            t.view(-1, visual.spatial_merge_unit, t.shape[-1])[order].flatten(0, 1)[:, None] for t in (cos, sin)
        )
        windows = torch.diff(ends).tolist()
        pictures = [rows * columns for rows, columns in grids]
        return Plan(order, order.argsort(), cos, sin, Rows.of(windows, device), Rows.of(pictures, device))


def attend(attention: Any, x: Tensor, rows: Rows, cos: Tensor, sin: Tensor) -> Tensor:
    """Attention (n, d) of each patch to those in its row."""
    q, k, v = attention.qkv(x).view(len(x), 3, attention.num_heads, -1).unbind(1)
    q, k = _turned(q, cos, sin), _turned(k, cos, sin)
    q, k, v = (t[rows.index].transpose(1, 2) for t in (q, k, v))
    seen = F.scaled_dot_product_attention(q, k, v, attn_mask=rows.mask, scale=attention.scaling)
    out: Tensor = attention.proj(seen.transpose(1, 2).reshape(-1, x.shape[-1])[rows.back])
    return out


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in float32, as the model was trained."""
    first, second = x.float().chunk(2, dim=-1)
    wide = torch.cat((first, second), -1) * cos + torch.cat((-second, first), -1) * sin
    return wide.to(x.dtype)
