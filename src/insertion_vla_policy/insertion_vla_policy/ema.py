"""Exponential moving average of a model's weights: what inference uses.

ema = Ema(model)
... optimizer.step(); ema.update(model)
save_checkpoint(..., model, ema.weights)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DECAY = 0.999


class Ema:
    """Follows a model.

    Attributes:
        weights: averaged tensors by the names of the model's state.
        updates: how many times `update` was called; with `weights` all that resuming needs.
        decay: weight of the past once many updates were made.
    """

    def __init__(self, model: nn.Module, decay: float = DECAY) -> None:
        self.decay = decay
        self.updates = 0
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's present weights; early on the past counts less, as it is hardly trained."""
        self.updates += 1
        decay = min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        for name, value in model.state_dict().items():
            mean = self.weights[name]
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1.0 - decay)
            else:
                mean.copy_(value)
