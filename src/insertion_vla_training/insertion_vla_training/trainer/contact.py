"""Samples near contact, which the sensor-loss weight is about.

A sample is near contact where the auxiliary channel of its label's first row is 0.5 and more: the expert was inserting,
near a surface, or done. State policies have no such channel: none of their samples is.
"""

from __future__ import annotations

import numpy as np
import torch
from insertion_vla_policy.inputs import ACTION_CHANNELS
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

AUX, NEAR = 6, 0.5


def near_contact(actions: Tensor) -> Tensor:
    """(B,) bool of actions (B, horizon, channels)."""
    if actions.shape[-1] != ACTION_CHANNELS:
        return torch.zeros(len(actions), dtype=torch.bool, device=actions.device)
    return actions[:, 0, AUX] >= NEAR


def drawn_share(flags: NDArray[np.bool_], source_of: ArrayLike, weights: ArrayLike, source_weights: ArrayLike) -> float:
    """Share of the drawn samples with a flag, 0..1.

    Args:
        flags: (N,).
        source_of, weights: (N,) number of each sample's source, and its weight there.
        source_weights: of the sources.
    """
    sources, own = np.asarray(source_of, np.int64), np.asarray(weights, np.float64)
    of_source = np.asarray(source_weights, np.float64)
    total = np.bincount(sources, own, minlength=len(of_source))
    flagged = np.bincount(sources, own * flags, minlength=len(of_source))
    there = total > 0
    return float((of_source[there] * flagged[there] / total[there]).sum() / of_source[there].sum())


def loss_weights(contact: Tensor, weight: float, share: float) -> Tensor:
    """(B,) weights of samples whose mean over the drawn samples is 1, whatever a batch holds."""
    mean = share * weight + (1.0 - share)
    return torch.where(contact, weight / mean, 1.0 / mean)
