"""A policy at work in an evaluation: loaded once per process, its answers timed, its samples compared.

torch is imported only for a policy that needs it: a process that plays another one starts in a tenth of the time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from insertion_vla_core.contract import Contract
from insertion_vla_core.observation import Observation
from insertion_vla_policy.checkpoint_config import load_config
from insertion_vla_policy.protocol import Backbone, Expert, Features
from insertion_vla_policy.registry import backbone_views, checkpoint_folder, limit_threads, load_backbone, load_expert

from insertion_vla_training.evaluation.settings import SCRIPTED, Settings

DIVERSITY_EVERY = 20  # chunks, 2 s


@dataclass(frozen=True, eq=False)
class Loaded:
    """Both halves of a policy; None where the scripted expert acts, or a policy does not see.

    Attributes:
        views: that the backbone sees, in order.
        draws: whether the expert gives another chunk with other noise.
    """

    expert: Expert | None
    backbone: Backbone | None
    views: tuple[str, ...]
    draws: bool = False


def load_player(settings: Settings, contract: Contract) -> Loaded:
    """Read a policy.

    Raises:
        ValueError: there is none, or it cannot be used with this contract.
    """
    views = backbone_views(settings.policy) or tuple(image.topic.split("/")[0] for image in contract.images)
    if settings.policy == SCRIPTED:
        return Loaded(None, None, views)
    folder = checkpoint_folder(settings.policy)
    config = load_config(folder) if folder else None
    expert = load_expert(settings.policy, settings.calibration, contract, settings.run_options)
    blind = config is not None and config.backbone is None
    backbone = None if blind else load_backbone(settings.policy, settings.calibration)
    # Episodes run side by side, and more threads would not give the same numbers.
    limit_threads(1)
    return Loaded(expert, backbone, views, config is not None and config.model.expert != "regression")


@dataclass(eq=False)
class TimedBackbone:
    """A backbone that notes how long each encoding took [s]."""

    backbone: Backbone
    seconds: list[float] = field(default_factory=list)

    def encode(self, images: list[Any], instruction: str) -> Features:
        """As the backbone's."""
        started_s = time.perf_counter()
        features = self.backbone.encode(images, instruction)
        self.seconds.append(time.perf_counter() - started_s)
        return features


class TimedPolicy:
    """A policy that notes how long each chunk took [s], and now and then how far apart its samples are [m]."""

    def __init__(self, policy: Any, samples: int = 0) -> None:
        """`policy` is anything that a lock-step episode takes; `samples` are drawn of it to be compared, 0: none."""
        self.policy_id: str = policy.policy_id
        self.seconds: list[float] = []
        self.spreads_m: list[float] = []
        self._policy, self._samples = policy, samples

    def reset(self, goal: str, instruction: str) -> None:
        """As the policy's."""
        self._policy.reset(goal, instruction)

    def act(self, observation: Observation) -> Any:
        """As the policy's."""
        started_s = time.perf_counter()
        action = self._policy.act(observation)
        self.seconds.append(time.perf_counter() - started_s)
        if self._samples > 1 and len(self.seconds) % DIVERSITY_EVERY == 1:
            self.spreads_m.append(self._spread_m(observation))
        return action

    def _spread_m(self, observation: Observation) -> float:
        import torch
        from insertion_vla_policy.policy import nearest_to_all

        # With noise of its own, so that looking does not change what the policy does.
        generator = torch.Generator().manual_seed(len(self.seconds))
        return nearest_to_all(self._policy.draw(observation, self._samples, generator).actions)[1]
