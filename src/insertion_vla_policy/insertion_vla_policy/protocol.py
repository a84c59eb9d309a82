"""What a policy is made of: a backbone (images -> features) and an expert (observation -> action).

The two halves run in different processes at different rates: the backbone in the `vlm` node at about 2.6 Hz, the
expert in the `action_expert` node at 10 Hz. They meet only through `Features`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from insertion_vla_core.observation import Observation
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Image:
    """One camera image.

    Attributes:
        view: Name of the camera view, for example "front".
        stamp_ns: Acquisition time on the local wall clock.
        rgb: (height, width, 3) uint8.
    """

    view: str
    stamp_ns: int
    rgb: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Features:
    """Vision-language features of one set of images.

    Attributes:
        tokens: (n, d) float32.
        instruction: The sentence the features were computed for.
        view_names: Views in the order of the tokens.
        view_stamps_ns: Acquisition time of each view's image.
        model_id: Name of the backbone.
        model_hash: Hash over everything that changes the features (weights, prompt, resolution, calibration).
        inference_s: Time from images in hand to features ready.
    """

    tokens: NDArray[np.float32]
    instruction: str
    view_names: tuple[str, ...]
    view_stamps_ns: tuple[int, ...]
    model_id: str
    model_hash: str
    inference_s: float

    @property
    def stamp_ns(self) -> int:
        """Acquisition time of the oldest image used."""
        return min(self.view_stamps_ns)


@dataclass(frozen=True, eq=False)
class Action:
    """What an expert wants: the next horizon of commanded tool poses, relative to the newest measured tool pose.

    Attributes:
        deltas: (8, 6) float64, row k is the pose at t0 + (k + 1) * 0.1 s against the anchor: [m, m, m, rad, rad, rad],
            p = p_anchor + d, R = exp([r]) R_anchor, base axes.
        aux: (8,) float64, 0 approach, 1 inserting or near contact, 2 finished.
        status: What the expert is doing, for people. One that begins with "failed" gives the goal up.
        timing: Seconds spent, by part ("inputs", "model", "total"); empty where nobody measured.
        spread_m: How far apart the ends of several samples are (root mean square); None with fewer than two.
    """

    deltas: NDArray[np.float64]
    aux: NDArray[np.float64]
    status: str
    timing: Mapping[str, float] = field(default_factory=dict)
    spread_m: float | None = None


class Backbone(Protocol):
    """Turns the newest image of every view and an instruction into feature tokens."""

    model_id: str
    model_hash: str

    def encode(self, images: list[Image], instruction: str) -> Features:
        """Computes the features of one image set; raises ValueError with a sentence on input it cannot use."""
        ...


class Expert(Protocol):
    """Turns observations into action chunks. Keeps state between calls of one goal, none across `reset`."""

    policy_id: str

    def reset(self, goal: str, instruction: str) -> None:
        """Forgets everything and starts a new goal."""
        ...

    def look(self, observation: Observation) -> None:
        """New features came: does now, beside the ticks, what `act` would else do with them under its deadline.

        Optional, for `act` does without; called from another thread, also while `act` is at work.
        """
        return None

    def act(self, observation: Observation) -> Action:
        """Plans the next horizon from one observation of the contract's streams."""
        ...
