"""What an evaluation can take from a policy: the sense of touch, a view, the right words.

The gate keeps the true force: only what the policy is given is changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from insertion_vla_core.observation import Observation, Window
from insertion_vla_sim.lockstep import instruction_for
from insertion_vla_sim.scene import COLOURS

Touch = Literal["own", "shuffled", "delayed"]
Told = Literal["named", "wrong", "empty"]
FELT = ("force", "surface_distance")
DELAY_TICKS = 5  # of the sense of touch, 0.5 s
Felt = dict[str, Window]


def told_sentence(told: Told, colour: str) -> str:
    """What the policy hears of an episode whose target has a colour; "wrong" names the next colour of the three."""
    if told == "named":
        return instruction_for(colour)
    names = sorted(COLOURS)
    return instruction_for(names[(names.index(colour) + 1) % len(names)]) if told == "wrong" else ""


class CoveredView:
    """Pictures of which one view's are black, as with a cap on the lens."""

    def __init__(self, renderer: Any, view: str) -> None:
        self.backend = renderer.backend
        self._renderer, self._view = renderer, view

    def render(self, camera: str, state: np.ndarray) -> np.ndarray:
        """As the renderer's."""
        picture = self._renderer.render(camera, state)
        return np.zeros_like(picture) if camera == self._view else picture

    def close(self) -> None:
        """As the renderer's."""
        self._renderer.close()


class NumbedPolicy:
    """A policy that feels something else than what happens: `felt(tick, own)` gives its windows of touch."""

    def __init__(self, policy: Any, felt: Callable[[int, Felt], Felt]) -> None:
        self.policy_id: str = policy.policy_id
        self._policy, self._felt, self._tick = policy, felt, 0

    def reset(self, goal: str, instruction: str) -> None:
        """As the policy's."""
        self._tick = 0
        self._policy.reset(goal, instruction)

    def act(self, observation: Observation) -> Any:
        """As the policy's, on the other touch."""
        own = {name: observation.streams[name] for name in FELT if name in observation.streams}
        given = self._felt(self._tick, own)
        self._tick += 1
        return self._policy.act(replace(observation, streams={**observation.streams, **given}))


class Delay:
    """The touch of some ticks ago; of the first ticks, the oldest that there is."""

    def __init__(self, ticks: int = DELAY_TICKS) -> None:
        self._kept: deque[Felt] = deque(maxlen=ticks + 1)

    def __call__(self, tick: int, own: Felt) -> Felt:
        """Windows with today's stamps and the values of then."""
        self._kept.append(own)
        return {name: _with_stamps(then, own[name]) for name, then in self._kept[0].items() if name in own}


class OtherEpisode:
    """The touch of another episode at the same tick; beyond its end, its last."""

    def __init__(self, recorded: list[Felt]) -> None:
        self._recorded = recorded

    def __call__(self, tick: int, own: Felt) -> Felt:
        """Windows with today's stamps and the other episode's values."""
        other = self._recorded[min(tick, len(self._recorded) - 1)]
        return {name: _with_stamps(other[name], own[name]) for name in own if name in other}


class Recorder:
    """A policy that acts as another one and keeps what it felt at every tick."""

    def __init__(self, policy: Any) -> None:
        self.policy_id: str = policy.policy_id
        self.felt: list[Felt] = []
        self._policy = policy

    def reset(self, goal: str, instruction: str) -> None:
        """As the policy's."""
        self._policy.reset(goal, instruction)

    def act(self, observation: Observation) -> Any:
        """As the policy's."""
        self.felt.append({name: observation.streams[name] for name in FELT if name in observation.streams})
        return self._policy.act(observation)


def _with_stamps(values: Window, stamps: Window) -> Window:
    return replace(values, stamps_ns=stamps.stamps_ns)
