"""A trained policy, used in the same way by the live node, the evaluation and a notebook.

policy = Policy.load("models/insertion")
policy.reset(goal="1", instruction="Insert the needle into the red trocar")
action = policy(observation)                      # deltas (8, 6), aux (8,), timing
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from insertion_vla_core.contract import Contract
from insertion_vla_core.geometry import Pose
from insertion_vla_core.observation import Observation
from numpy.typing import NDArray

from insertion_vla_policy.backends import check_device, make_act
from insertion_vla_policy.checkpoint import Checkpoint, check_live_contract, load_checkpoint
from insertion_vla_policy.experts.noise import make_sampler
from insertion_vla_policy.experts.trocar_estimate import pose_from_row
from insertion_vla_policy.guide import Guide, Planned
from insertion_vla_policy.inputs import Inputs, build_inputs, deltas_and_aux
from insertion_vla_policy.model_config import VlaConfig
from insertion_vla_policy.protocol import Action
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_policy.target import load_finder

WARM_UPS = 3


@dataclass(frozen=True, eq=False)
class Draw:
    """Samples of one observation.

    Attributes:
        actions: (n, 8, 7) float32 in physical units; n is 1 for regression.
        timing: seconds spent on "inputs", "model".
    """

    actions: NDArray[np.float32]
    timing: dict[str, float]


class Policy:
    """A checkpoint at work; an `Expert` of the graph. Use `Policy.load`.

    Attributes:
        policy_id: expert, size and the beginning of the weights' hash.
        checkpoint: where it comes from.
        options: how it is run.
    """

    def __init__(self, checkpoint: Checkpoint, options: RunOptions, calibration: str | Path | None = None) -> None:
        config = checkpoint.config.model
        if not isinstance(config, VlaConfig):
            raise ValueError(f"expected a policy on observations in {checkpoint.folder}, got a state policy")
        self.checkpoint, self.options = checkpoint, options
        self.policy_id = f"{config.expert}-{config.decoder.size}-{checkpoint.sha256[:12]}"
        self._spec = config.inputs
        if self._spec.target and calibration is None:
            raise ValueError(
                f"expected a camera calibration for the policy in {checkpoint.folder}, which is told where the trocar "
                "is in space: give the file of the cameras it runs with"
            )
        if options.guided_s and config.expert == "regression":
            raise ValueError(
                f"expected guided_s 0 for the policy in {checkpoint.folder}, got {options.guided_s:g}: regression has "
                "one answer, which cannot be guided"
            )
        self._last: Planned | None = None
        self._find_target = load_finder(calibration) if self._spec.target and calibration is not None else None
        self._generator = torch.Generator().manual_seed(options.seed)
        if options.threads:
            torch.set_num_threads(options.threads)
        check_device(options)
        sampler = make_sampler(config.diffusion, options.steps, options.method)
        self._normalizer = checkpoint.normalizer.to(options.device)
        model = checkpoint.model.to(options.device)
        self._act = make_act(model, sampler, self._tensors(_nothing(config)), options)
        for _ in range(WARM_UPS):  # the first deadline must not pay for what is only slow once
            self._run(_nothing(config), options.samples, torch.Generator().manual_seed(0))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        options: RunOptions | None = None,
        contract: Contract | None = None,
        calibration: str | Path | None = None,
    ) -> Policy:
        """Read a checkpoint and make it ready for its first deadline.

        Args:
            folder: of the checkpoint.
            options: how it is run.
            contract: of the graph it is to run in; refused if it is not that of the training.
            calibration: file of the cameras, for a policy that has the trocar in space as an input.

        Raises:
            ValueError: a sentence with the remedy.
        """
        checkpoint = load_checkpoint(folder)
        if contract is not None:
            check_live_contract(checkpoint, contract)
        return cls(checkpoint, options or RunOptions(), calibration)

    def reset(self, goal: str, instruction: str) -> None:
        """Start a new goal: its noise begins with the seed anew, and no chunk was before it."""
        self._last = None
        self._generator.manual_seed(self.options.seed)

    def look(self, observation: Observation) -> None:
        """Finds the trocar in new features, which takes milliseconds; `act` then has it at hand. Errors as `act`."""
        self._check_features(observation)
        entry = observation.streams.get("features")
        if self._find_target is not None and entry is not None:
            self._find_target(entry.newest, observation.streams["tool_pose"])

    def act(self, observation: Observation) -> Action:
        """As `policy(observation)`."""
        return self(observation)

    def __call__(self, observation: Observation, generator: torch.Generator | None = None) -> Action:
        """The next horizon.

        Args:
            observation: of the contract's streams.
            generator: of the noise, on the CPU; None: the policy's own, which `reset` seeds.

        Raises:
            Missing: joints or tool pose hold no number: hold.
            ValueError: features of another backbone than that of the training.
        """
        started = time.perf_counter()
        draw = self._draw(observation, self.options.samples, generator or self._generator, self._last)
        chosen, spread_m = nearest_to_all(draw.actions)
        deltas, aux = deltas_and_aux(chosen)
        status: str = self.checkpoint.config.model.expert
        held = bool(self.options.max_spread_m) and spread_m > self.options.max_spread_m
        if held:
            deltas = np.zeros_like(deltas)
            status = (
                f"hold: {len(draw.actions)} samples are {spread_m * 1e3:.1f} mm apart, allowed "
                f"{self.options.max_spread_m * 1e3:.1f} mm"
            )
        if self.options.guided_s:
            # A plan that is held is not carried out: there is nothing to continue.
            self._last = None if held else Planned.of(observation.stamp_ns, _anchor(observation), deltas)
        timing = {**draw.timing, "total": time.perf_counter() - started}
        return Action(deltas, aux, status, timing, spread_m if len(draw.actions) > 1 else None)

    def draw(self, observation: Observation, count: int, generator: torch.Generator | None = None) -> Draw:
        """`count` samples of one observation, unguided, in groups of the option `samples`; errors as calling it."""
        return self._draw(observation, count, generator or self._generator, None)

    def _draw(self, observation: Observation, count: int, generator: torch.Generator, before: Planned | None) -> Draw:
        self._check_features(observation)
        started = time.perf_counter()
        inputs = build_inputs(observation, self._spec, self._find_target)
        built = time.perf_counter()
        guide = self._guide(before, observation) if before is not None else None
        actions = self._run(inputs, count, generator, guide)
        return Draw(actions, {"inputs": built - started, "model": time.perf_counter() - built})

    def _guide(self, before: Planned, observation: Observation) -> Guide | None:
        """Towards the chunk before, as seen from here; the auxiliary channel is free."""
        continued = before.continued(observation.stamp_ns, _anchor(observation), self.options.guided_s)
        if continued is None:
            return None
        deltas, weights = (torch.from_numpy(part.astype(np.float32)).to(self.options.device) for part in continued)
        actions = self._normalizer.normalize_actions(torch.nn.functional.pad(deltas, (0, 1)))
        return Guide(actions[None], torch.nn.functional.pad(weights[:, None].expand(-1, deltas.shape[1]), (0, 1))[None])

    @torch.inference_mode()
    def _run(
        self, inputs: Inputs, count: int, generator: torch.Generator, guide: Guide | None = None
    ) -> NDArray[np.float32]:
        config, tensors = self.checkpoint.config.model, self._tensors(inputs)
        if config.expert == "regression":
            count = 1  # there is but one answer
        groups = []
        for _ in range(-(-count // self.options.samples)):
            # Drawn on the CPU whatever the device: the same seed gives the same noise.
            noise = torch.randn(self.options.samples, *config.action_shape, generator=generator)
            groups.append(self._normalizer.actions(self._act(tensors, noise.to(self.options.device), generator, guide)))
        result: NDArray[np.float32] = torch.cat(groups)[:count].cpu().numpy()
        return result

    def _tensors(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        tensors = {name: torch.from_numpy(value)[None].to(self.options.device) for name, value in inputs.items()}
        return self._normalizer.normalize(tensors)

    def _check_features(self, observation: Observation) -> None:
        entry, wanted = observation.streams.get("features"), self.checkpoint.config.backbone
        if entry is None or wanted is None:
            return
        came = entry.newest
        if (came.model_id, came.model_hash) != (wanted.model_id, wanted.model_hash):
            raise ValueError(
                f"expected features of backbone '{wanted.model_id}' {wanted.model_hash}, with which the policy was "
                f"trained, got '{came.model_id}' {came.model_hash}: start the vlm node with the same policy folder"
            )


def _anchor(observation: Observation) -> Pose:
    return pose_from_row(observation.streams["tool_pose"].values[-1])


def nearest_to_all(actions: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """The sample (8, 7) with the least distance to the others, and the spread of the ends [m] (root mean square).

    A mean of several ways may be none of them; a sample is one.
    """
    if len(actions) == 1:
        return actions[0], 0.0
    ends = actions[:, -1, :3].astype(np.float64)
    apart = np.linalg.norm(ends[:, None] - ends[None], axis=-1)
    spread_m = float(np.sqrt(np.square(ends - ends.mean(axis=0)).sum(axis=-1).mean()))
    return actions[int(apart.sum(axis=1).argmin())], spread_m


def _nothing(config: VlaConfig) -> Inputs:
    """Inputs of the right shapes, all there and zero: for warm-up and checks only."""
    return {
        name: np.ones(shape, bool) if name.endswith("_mask") else np.zeros(shape, np.float32)
        for name, shape in config.inputs.shapes().items()
    }
