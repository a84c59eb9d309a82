"""What a training step gets from an expert."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Loss(NamedTuple):
    """A loss per sample, so that samples can be weighted.

    Attributes:
        per_sample: (B,).
        extra: more to log, each (B,): "diffusion_t" of diffusion experts.
    """

    per_sample: Tensor
    extra: dict[str, Tensor]


def mean_over_rows(error: Tensor, rows: Tensor | None) -> Tensor:
    """Mean (B,) of error (B, horizon) over the rows (B, horizon) that are True; 0 for a sample without any."""
    if rows is None:
        return error.mean(dim=-1)
    weight = rows.to(error.dtype)
    return (error * weight).sum(dim=-1) / weight.sum(dim=-1).clamp(min=1.0)
