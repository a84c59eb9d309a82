"""What a lock-step episode is put together from: a policy, a backbone, a listener, and how long things take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.decision import Decision, GateStatus
from insertion_vla_core.geometry import Pose
from insertion_vla_core.observation import Observation

from insertion_vla_sim.lockstep_streams import Block


class ActionLike(Protocol):
    """Deltas (8,6) against the newest observed tool pose, aux (8,); a status that starts with "failed" gives up."""

    @property
    def deltas(self) -> np.ndarray: ...

    @property
    def aux(self) -> np.ndarray: ...

    @property
    def status(self) -> str: ...


class Policy(Protocol):
    """Observation in, action out, 10 times a simulated second; the same shape as the graph's experts."""

    policy_id: str

    def reset(self, goal: str, instruction: str) -> None: ...

    def act(self, observation: Observation) -> ActionLike: ...


@dataclass(frozen=True, eq=False)
class CameraImage:
    """What a backbone gets of each view: rgb (height, width, 3) uint8."""

    view: str
    stamp_ns: int
    rgb: np.ndarray


class Backbone(Protocol):
    """Newest images and an instruction in, features (an object with `stamp_ns`) out."""

    def encode(self, images: list[Any], instruction: str) -> Any: ...


class Listener(Protocol):
    """Hears what the nodes of the graph would publish, in the order of the simulated time."""

    def robot(self, stamp_ns: int, q: np.ndarray, dq: np.ndarray, tool: Pose) -> None:
        """A robot state, 100 Hz."""

    def block(self, block: Block) -> None:
        """Ten samples of force, 65 Hz."""

    def picture(self, view: str, stamp_ns: int, state: np.ndarray) -> None:
        """A camera takes a picture of a render state."""

    def features(self, features: Any, known_ns: int) -> None:
        """Features that are known from `known_ns` on."""

    def chunk(self, chunk: Chunk, known_ns: int) -> None:
        """What the policy commands; it arrives at `known_ns`."""

    def cycle(self, now_ns: int, decision: Decision, status: GateStatus) -> None:
        """What the gate decides, 100 Hz."""


@dataclass(frozen=True)
class Timing:
    """Rates [Hz] and delays [s] of the simulated graph."""

    image_hz: float = 5.0
    feature_hz: float = 2.6
    image_delay_s: float = 0.040
    feature_delay_s: float = 0.100
    inference_delay_s: float = 0.010
    tare_s: float = 0.5


LIKE_THE_GRAPH = Timing()
