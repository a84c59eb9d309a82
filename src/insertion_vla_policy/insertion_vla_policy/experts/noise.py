"""The noise process of the diffusion experts, on diffusers' schedulers.

Cosine schedule (Nichol & Dhariwal, 2021), prediction of the noise (Ho et al., "DDPM", 2020), sampling by DDPM or DDIM
(Song et al., 2021) in any number of steps. Fewer steps than T visit fewer noise levels: the process is respaced, so
that each step leads exactly from one visited level to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from insertion_vla_policy.guide import Guide
from insertion_vla_policy.model_config import DiffusionConfig

Method = Literal["ddim", "ddpm"]
SIGNAL = 0.91  # share of T above which noise says nothing about the action: sampling in fewer steps starts below


@lru_cache(maxsize=8)
def training_schedule(train_steps: int) -> DDPMScheduler:
    """The full process with T levels."""
    return DDPMScheduler(num_train_timesteps=train_steps, beta_schedule="squaredcos_cap_v2")


def visited_levels(train_steps: int, steps: int) -> list[int]:
    """The noise levels, falling, that sampling in `steps` steps visits.

    Raises:
        ValueError: more steps than levels, or none.
    """
    if not 1 <= steps <= train_steps:
        raise ValueError(f"expected 1 to {train_steps} sampling steps, got {steps}: choose for example 10")
    top = max(round(SIGNAL * train_steps), steps)
    return [int(level) - 1 for level in np.round(np.arange(steps, 0, -1) * top / steps)]


@dataclass(frozen=True, eq=False)
class Sampler:
    """How actions are drawn out of noise.

    Attributes:
        levels: noise levels t, one per step, falling.
        method: "ddim" (deterministic but for the first noise) or "ddpm".
        scheduler: of the respaced process; its own time steps are len(levels) - 1 ... 0.
        clip: largest clean action, normalised.
    """

    levels: tuple[int, ...]
    method: Method
    scheduler: DDIMScheduler | DDPMScheduler
    clip: float

    def step(
        self, index: int, noise: Tensor, x: Tensor, generator: torch.Generator | None = None, guide: Guide | None = None
    ) -> Tensor:
        """x (B, ...) after step `index`, given the noise that the model sees in it."""
        if guide is not None:
            noise = self._guided(index, noise, x, guide)
        t = len(self.levels) - 1 - index
        return self.scheduler.step(noise, t, x, generator=generator, return_dict=False)[0]

    def _guided(self, index: int, noise: Tensor, x: Tensor, guide: Guide) -> Tensor:
        """The noise that there is in x if the clean actions are as guided."""
        signal = self.scheduler.alphas_cumprod[len(self.levels) - 1 - index]
        clean = ((x - (1.0 - signal).sqrt() * noise) / signal.sqrt()).clamp(-self.clip, self.clip)
        return (x - signal.sqrt() * guide.clean(clean)) / (1.0 - signal).sqrt()


def make_sampler(config: DiffusionConfig, steps: int, method: Method = "ddim") -> Sampler:
    """A sampler with `steps` steps; errors as `visited_levels`."""
    levels = visited_levels(config.train_steps, steps)
    kept = training_schedule(config.train_steps).alphas_cumprod.double()[levels[::-1]]
    betas = 1.0 - kept / torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
    kind = DDIMScheduler if method == "ddim" else DDPMScheduler
    scheduler = kind(
        num_train_timesteps=steps, trained_betas=betas.tolist(), clip_sample=True, clip_sample_range=config.clip
    )
    scheduler.set_timesteps(steps)
    return Sampler(tuple(levels), method, scheduler, config.clip)


def add_noise(actions: Tensor, noise: Tensor, t: Tensor, train_steps: int) -> Tensor:
    """Actions (B, ...) at noise levels t (B,)."""
    schedule: Any = training_schedule(train_steps)
    noisy: Tensor = schedule.add_noise(actions, noise, t)
    return noisy
