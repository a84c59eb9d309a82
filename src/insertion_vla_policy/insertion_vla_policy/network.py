"""A model cut into the parts that a back end runs: what is computed once per chunk, and what in every step.

Parts take and give plain tensors, so that they can be compiled, captured or exported alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from insertion_vla_policy.experts.diffusion import Diffusion
from insertion_vla_policy.experts.noise import Sampler
from insertion_vla_policy.experts.regression import Regression
from insertion_vla_policy.experts.state_diffusion import StateDiffusion
from insertion_vla_policy.guide import Guide
from insertion_vla_policy.model import Model

Part = Callable[..., tuple[Tensor, ...]]


class Act(Protocol):
    """A model as it is run."""

    def __call__(
        self,
        inputs: dict[str, Tensor],
        noise: Tensor,
        generator: torch.Generator | None,
        guide: Guide | None = None,
        /,
    ) -> Tensor:
        """Normalised inputs of one sample, noise (N, horizon, channels), generator of further noise -> actions."""
        ...


@dataclass(frozen=True, eq=False)
class Parts:
    """The two halves of a diffusion model; a regression model has only the first.

    Attributes:
        names: of the inputs, in the order of `observe`'s arguments.
        observe: inputs -> the condition; for regression: the actions.
        see: (noisy, level, *condition) -> the noise in it.
    """

    names: tuple[str, ...]
    observe: Part
    see: Part | None


class ActAtOnce(nn.Module):
    """Regression as a function of plain tensors."""

    def __init__(self, model: Regression, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Actions (1, horizon, channels)."""
        return (self.model.act(dict(zip(self.names, inputs, strict=True))),)


class Observe(nn.Module):
    """All that the steps of a chunk share: keys and values of every block, then the mask if there is one."""

    def __init__(self, model: Diffusion | StateDiffusion, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The condition as a flat tuple."""
        memory, mask = self.model.encoder(dict(zip(self.names, inputs, strict=True)))
        pairs = self.model.denoiser.decoder.condition(memory)
        return (*(tensor for pair in pairs for tensor in pair), *(() if mask is None else (mask,)))


class See(nn.Module):
    """One step: the noise in noisy actions."""

    def __init__(self, model: Diffusion | StateDiffusion) -> None:
        super().__init__()
        self.denoiser = model.denoiser
        self.blocks = model.config.decoder.layers

    def forward(self, noisy: Tensor, level: Tensor, *condition: Tensor) -> tuple[Tensor, ...]:
        """Noise (N, horizon, channels); level (1, layers, 4, hidden)."""
        pairs = [(condition[2 * i], condition[2 * i + 1]) for i in range(self.blocks)]
        mask = condition[2 * self.blocks] if len(condition) > 2 * self.blocks else None
        return (self.denoiser(noisy, level, pairs, mask),)


def cut(model: Model, names: tuple[str, ...]) -> Parts:
    """The parts of a model; `names` are those of its inputs."""
    if isinstance(model, Regression):
        return Parts(names, ActAtOnce(model, names).eval(), None)
    return Parts(names, Observe(model, names).eval(), See(model).eval())


def put_together(parts: Parts, model: Model, sampler: Sampler) -> Act:
    """The whole way from inputs to actions over parts of any back end."""
    see = parts.see
    if see is None or isinstance(model, Regression):
        return lambda inputs, noise, generator, guide=None: parts.observe(*(inputs[name] for name in parts.names))[0]
    with torch.inference_mode():
        device = next(model.parameters()).device
        table = model.denoiser.decoder.levels(torch.tensor(sampler.levels, device=device))
        levels = [table[index : index + 1].clone() for index in range(len(sampler.levels))]

    def act(
        inputs: dict[str, Tensor], noise: Tensor, generator: torch.Generator | None, guide: Guide | None = None
    ) -> Tensor:
        condition = parts.observe(*(inputs[name] for name in parts.names))
        x = noise
        for index, level in enumerate(levels):
            x = sampler.step(index, see(x, level, *condition)[0], x, generator, guide)
        return x

    return act
