"""What `tiny_vl` is trained for: heat where the key point is, its centre on it, and honest confidence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from insertion_vla_policy.backbones.tiny_net import STRIDE, WINDOW, KeyPoints
from torch import Tensor

HEAT_SIGMA = 0.8  # of the wanted heat [cells]
HIDDEN_WEIGHT = 0.2  # a hidden point is guessed from what is around it, and counts that much
RIGHT_WITHIN = 0.75  # cells; confidence is the chance to be nearer than that and in plain view
CENTRE_WEIGHT, CONFIDENCE_WEIGHT, LAYOUT_WEIGHT = 2.0, 1.0, 0.2


def keypoint_loss(points: KeyPoints, layout: Tensor, pixels: Tensor, seen: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch, and its parts for the log.

    Args:
        points: answers to one sentence per colour and a last one that names none.
        layout: (n, colours, 2, 2) all points as the picture's embedding tells them, -1..1 across the picture.
        pixels: (n, colours, 2, 2), NaN behind the camera.
        seen: (n, colours, 2).
    """
    colours = pixels.shape[1]
    heat, uv = points.heat[:, :colours], points.uv[:, :colours]
    height, width = heat.shape[-2:]
    cells = torch.nan_to_num((pixels + 0.5) / STRIDE - 0.5, nan=-1e3)
    inside = (cells >= -0.5).all(-1) & (cells[..., 0] <= width - 0.5) & (cells[..., 1] <= height - 0.5)
    weight = torch.where(seen, 1.0, HIDDEN_WEIGHT) * inside
    total = weight.sum().clamp(min=1.0)

    wanted = _gaussian(cells[..., 1], height)[..., None] * _gaussian(cells[..., 0], width)[..., None, :]
    log_share = heat.flatten(3).log_softmax(-1)
    heat_loss = -((wanted.flatten(3) * log_share).sum(-1) * weight).sum() / total

    away = (uv - cells).norm(dim=-1)
    near = weight * (away < WINDOW + 1.0)
    centre_loss = (F.smooth_l1_loss(uv, cells, beta=0.25, reduction="none").sum(-1) * near).sum() / total

    right = torch.zeros_like(points.confidence)
    right[:, :colours] = (seen & (away < RIGHT_WITHIN)).float()
    confidence_loss = F.binary_cross_entropy_with_logits(points.confidence, right)

    place = (cells + 0.5) / torch.tensor([width, height]) * 2.0 - 1.0
    layout_loss = (F.smooth_l1_loss(layout, place, reduction="none").sum(-1) * inside).sum() / total

    loss = heat_loss + CENTRE_WEIGHT * centre_loss + CONFIDENCE_WEIGHT * confidence_loss + LAYOUT_WEIGHT * layout_loss
    error_px = STRIDE * away[seen].median() if seen.any() else torch.tensor(float("nan"))
    parts = {"loss": loss, "heat": heat_loss, "confidence": confidence_loss, "median_error_px": error_px}
    return loss, {name: part.detach() for name, part in parts.items()}


def _gaussian(centre: Tensor, size: int) -> Tensor:
    """(..., size) weights that add up to 1 around `centre` (...) on a line of cells."""
    away = torch.arange(size) - centre[..., None]
    return (-(away**2) / (2.0 * HEAT_SIGMA**2)).softmax(-1)
