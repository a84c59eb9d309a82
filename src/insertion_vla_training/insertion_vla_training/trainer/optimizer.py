"""AdamW with its groups: rates of the force encoder and the adapter, no decay of biases, norms and embeddings."""

from __future__ import annotations

import torch
from torch import nn

from insertion_vla_training.trainer.settings import TrainSettings

BETAS = (0.9, 0.95)
FORCE, ADAPTER = "encoder.force.", "lora_"
PLAIN = ("position", "place", "queries")  # learned tables that are added to tokens


def make_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """Groups in a fixed order; parameters that are not trained are in none.

    Raises:
        ValueError: nothing is left to train.
    """
    optim = settings.optim
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            key = (_peak(name, settings), parameter.ndim > 1 and name.rpartition(".")[2] not in PLAIN)
            groups.setdefault(key, []).append(parameter)
    if not groups:
        raise ValueError("expected something to train, everything is frozen: leave out some of --init.freeze")
    return torch.optim.AdamW(
        [
            {"params": members, "peak": peak, "lr": peak, "weight_decay": optim.weight_decay if decays else 0.0}
            for (peak, decays), members in groups.items()
        ],
        betas=BETAS,
        # One kernel over all tensors: a third of the time of a step of a small model.
        fused=True,
    )


def _peak(name: str, settings: TrainSettings) -> float:
    if ADAPTER in name:
        return settings.backbone.lr
    if FORCE in name and settings.optim.force_lr is not None:
        return settings.optim.force_lr
    return settings.optim.lr
