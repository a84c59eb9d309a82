"""A run that has left the numbers stops at once, before its weights are spoilt, and names the samples."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import torch
from accelerate.utils import gather_object

from insertion_vla_training.trainer.data import Samples, names_of

NAMED = 3


def stop_on_nan(processes: Any, samples: Samples, indices: list[int], losses: torch.Tensor, step: int) -> NoReturn:
    """Raises ValueError naming the samples of all processes whose loss is no number; called by all of them.

    Args:
        processes: the accelerator.
        samples: the training set.
        indices: of this process's samples of the step.
        losses: (n,) of them.
        step: counted from 0.
    """
    broken = [index for index, fine in zip(indices, torch.isfinite(losses).tolist(), strict=True) if not fine]
    named = names_of(samples, (broken or indices)[:NAMED])
    counts = [(len(broken), named)]
    if processes.num_processes > 1:
        counts = gather_object(counts)
    total = sum(count for count, _ in counts)
    names = [name for count, found in counts if count or not total for name in found][:NAMED]
    if total:
        cause = f"the loss of {total} samples is no number"
    else:
        cause = "the losses are numbers, the gradient is not"
    raise ValueError(
        f"stopped at step {step}: {cause}; the batch holds {'; '.join(names)}. The last saved state is whole. Look at "
        "these samples (`inspect`, `cache verify`); if their data are sound, lower --optim.lr"
    )


def stop_on_broken_validation(loss: float | None, step: int) -> None:
    """Raises ValueError for a validation loss that is no number; nothing of such weights is saved."""
    if loss is not None and not math.isfinite(loss):
        raise ValueError(
            f"stopped after step {step}: the validation loss is no number, so the weights are spoilt. The last "
            "saved state is whole: lower --optim.lr, or look at the validation episodes with `inspect`"
        )
