"""The loss of a batch: normalised inputs, the expert's error per sample, weighted.

One module with one forward, so that wrappers for data-parallel training see all of it. The noise of a diffusion expert
is drawn for a whole step at once from its number and the seed, and each rank takes the rows of its samples: the same
step has the same noise however many processes share it, and a resumed run needs no state of a generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from insertion_vla_policy.experts.loss import Loss, mean_over_rows
from insertion_vla_policy.experts.noise import add_noise
from insertion_vla_policy.experts.regression import Regression
from insertion_vla_policy.model import Model
from insertion_vla_policy.normalizer import Normalizer
from torch import Tensor, nn

if TYPE_CHECKING:
    from insertion_vla_training.trainer.live_backbone import LiveBackbone, Seen


class Draws(NamedTuple):
    """Chance of a batch: noise levels (B,) and noise (B, horizon, channels)."""

    levels: Tensor
    noise: Tensor


def step_draws(model: Model, seed: int, step: int, count: int) -> Draws | None:
    """Draws of all samples of a step; None for an expert without chance."""
    if isinstance(model, Regression):
        return None
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    levels = torch.randint(model.denoiser.train_steps, (count,), generator=generator)
    return Draws(levels, torch.randn((count, *model.config.action_shape), generator=generator))


def rows_of(draws: Draws | None, first: int, count: int, stride: int, device: torch.device) -> Draws | None:
    """The draws of `count` samples of one rank, `stride` apart."""
    if draws is None:
        return None
    rows = slice(first, first + count * stride, stride)
    return Draws(*(part[rows].to(device) for part in draws))


class Objective(nn.Module):
    """The expert, and the backbone's adapter in stage 2, with their loss.

    Its state is what is trained: the frozen backbone is no part of it, only the adapter's weights are.
    """

    def __init__(self, model: Model, normalizer: Normalizer, backbone: LiveBackbone | None = None) -> None:
        super().__init__()
        self.model = model
        self.adapter = backbone.trained() if backbone else None
        self._normalizer, self._backbone = normalizer, (backbone,)

    def train(self, mode: bool = True) -> Objective:
        """Also tells the backbone, for the adapter's dropout."""
        if self._backbone[0] is not None:
            self._backbone[0].train(mode)
        super().train(mode)
        return self

    def forward(self, batch: dict[str, Tensor], draws: Draws | None, images: list[Seen] | None = None) -> Loss:
        """Loss per sample.

        Args:
            batch: physical inputs, `action`, and `rows` where some actions are missing.
            draws: see `step_draws`; None for an expert without chance.
            images: stage 2: per sample its images and instruction.
        """
        inputs = {name: value for name, value in batch.items() if name not in ("action", "rows")}
        if self._backbone[0] is not None and images is not None:
            inputs["features"], inputs["features_mask"] = self._backbone[0].tokens(images)
        inputs = self._normalizer.normalize(inputs)
        actions = self._normalizer.normalize_actions(batch["action"])
        rows = batch.get("rows")
        if isinstance(self.model, Regression):
            loss: Loss = self.model(inputs, actions, rows)
            return loss
        assert draws is not None
        denoiser = self.model.denoiser
        noisy = add_noise(actions, draws.noise, draws.levels, denoiser.train_steps)
        memory, mask = self.model.encoder(inputs)
        seen = denoiser(noisy, denoiser.decoder.levels(draws.levels), denoiser.decoder.condition(memory), mask)
        error = (seen - draws.noise).square().mean(dim=-1)
        return Loss(mean_over_rows(error, rows), {"diffusion_t": draws.levels})
