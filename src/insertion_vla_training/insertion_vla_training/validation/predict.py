"""What a model says to stored samples, with the same noise for a sample however they are batched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from insertion_vla_policy.experts.noise import make_sampler
from insertion_vla_policy.experts.regression import Regression
from insertion_vla_policy.model import Model
from insertion_vla_policy.normalizer import Normalizer
from numpy.typing import NDArray

from insertion_vla_training.datasets.loader import to_tensors

BATCH = 64
EXTRA = ("action", "rows", "index", "stamp", "images", "instructions")


def spread_out(count: int, most: int) -> list[int]:
    """At most so many sample numbers, evenly spread."""
    indices: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return indices


@torch.no_grad()
def predict(
    model: Model,
    normalizer: Normalizer,
    samples: Any,
    indices: Sequence[int],
    draws: int = 1,
    steps: int = 10,
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Predictions for some samples of a set.

    Args:
        model: in evaluation mode.
        normalizer: on the model's device.
        samples: a TrainingSet or StateSet.
        indices: which of them.
        draws: chunks per sample; without chance there is one.
        steps: of sampling.
        seed: of the noise.

    Returns:
        draws (S, N, horizon, channels) and labels (N, horizon, channels) in physical units, and rows (N, horizon) that
        are True where there is a label.
    """
    device = next(model.parameters()).device
    shape = model.config.action_shape
    count = 1 if isinstance(model, Regression) else draws
    noise = torch.randn((len(indices), count, *shape), generator=torch.Generator().manual_seed(seed))
    sampler = None if isinstance(model, Regression) else make_sampler(model.config.diffusion, steps)
    found, labels, rows = [], [], []
    for start in range(0, len(indices), BATCH):
        part = list(indices[start : start + BATCH])
        batch = to_tensors(samples.batch(part, [float("nan")] * len(part)))
        inputs = normalizer.normalize(_inputs(batch, device))
        if sampler is None:
            drawn = model.act(inputs)[None]
        else:
            at = noise[start : start + len(part)].to(device)
            drawn = torch.stack([model.act(inputs, at[:, i], sampler) for i in range(count)])
        found.append(normalizer.actions(drawn).float().cpu().numpy())
        labels.append(batch["action"].numpy())
        rows.append(batch["rows"].numpy() if "rows" in batch else np.ones(batch["action"].shape[:2], bool))
    return np.concatenate(found, axis=1), np.concatenate(labels), np.concatenate(rows)


def _inputs(batch: Mapping[str, Any], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: value.to(device) for name, value in batch.items() if name not in EXTRA}
