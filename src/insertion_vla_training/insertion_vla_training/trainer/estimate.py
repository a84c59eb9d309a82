"""`train --dry-run`: what a run would cost, from a few real steps that leave nothing behind."""

from __future__ import annotations

import resource
import time
from typing import Any

import torch
from torch import nn

from insertion_vla_training.datasets.loader import TrainingLoader
from insertion_vla_training.trainer.data import to_device
from insertion_vla_training.trainer.objective import Objective, rows_of, step_draws
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.start import Learned

TIMED = 3  # steps after the first


def print_estimate(
    settings: TrainSettings,
    learned: Learned,
    objective: Objective,
    optimizer: torch.optim.AdamW,
    loader: TrainingLoader,
    steps: int,
) -> None:
    """Parameters, memory and time of a run."""
    batch = next(iter(loader))
    device = next(objective.parameters()).device
    _step(settings, learned, objective, optimizer, batch, 0)
    started_s = time.monotonic()
    for number in range(TIMED):
        _step(settings, learned, objective, optimizer, batch, 1 + number)
    step_s = (time.monotonic() - started_s) / TIMED * settings.optim.accumulate
    size = settings.optim.batch_size * settings.optim.accumulate
    trained, frozen = parameter_counts(learned, objective)
    # Weights, gradients, two moments and the average, each in float32.
    kept_mb = (trained * 5 + frozen) * 4 / 1e6
    validation = len(learned.data.validation) if learned.data.validation is not None else 0
    lines = [
        f"samples      {len(learned.data.train)} train, {validation} validation; "
        f"{100 * learned.data.contact_share:.0f} % of those drawn are near contact",
        f"parameters   {trained / 1e6:.2f} M trained, {frozen / 1e6:.2f} M frozen",
        f"memory       {kept_mb:.0f} MB of weights, gradients, moments and average; "
        f"at most {_peak_mb(device):.0f} MB in use",
        f"time         {step_s:.3f} s per step of {size} samples ({size / step_s:.0f} samples/s), {steps} steps: "
        f"{_duration(steps * step_s)} without validation",
    ]
    print("\n".join(lines))


def parameter_counts(learned: Learned, objective: nn.Module) -> tuple[int, int]:
    """Numbers that are trained, and those that are frozen, the backbone's included."""
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in objective.parameters() if not p.requires_grad)
    return trained, frozen + (learned.backbone.frozen_count() if learned.backbone else 0)


def _step(
    settings: TrainSettings,
    learned: Learned,
    objective: Objective,
    optimizer: torch.optim.AdamW,
    batch: dict[str, Any],
    number: int,
) -> None:
    device = next(objective.parameters()).device
    size = len(batch["index"])
    draws = rows_of(step_draws(learned.model, settings.seed, number, size), 0, size, 1, device)
    images = list(zip(batch["images"], batch["instructions"], strict=True)) if "images" in batch else None
    objective(to_device(batch, device), draws, images).per_sample.mean().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"
