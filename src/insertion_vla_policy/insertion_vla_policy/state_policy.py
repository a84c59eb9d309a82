"""A state diffusion policy at work: the last states in, the next actions out. Its averaged weights run.

policy = StatePolicy.load("models/state")
actions = policy(states)          # (2, state_dim) -> (n_action_steps, action_dim)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from insertion_vla_policy.backends import check_device, make_act
from insertion_vla_policy.checkpoint import Checkpoint, load_checkpoint
from insertion_vla_policy.experts.noise import make_sampler
from insertion_vla_policy.model_config import StateDiffusionConfig
from insertion_vla_policy.run_options import RunOptions


class StatePolicy:
    """Use `StatePolicy.load`.

    Attributes:
        policy_id: size and the beginning of the weights' hash.
        checkpoint: where it comes from.
        config: shapes of states and actions.
        options: how it is run; of several samples the first is taken.
    """

    def __init__(self, checkpoint: Checkpoint, options: RunOptions) -> None:
        config = checkpoint.config.model
        if not isinstance(config, StateDiffusionConfig):
            raise ValueError(f"expected a state policy in {checkpoint.folder}, got {config.expert}: use Policy.load")
        self.checkpoint, self.config, self.options = checkpoint, config, options
        self.policy_id = f"state_diffusion-{config.decoder.size}-{checkpoint.sha256[:12]}"
        self._generator = torch.Generator().manual_seed(options.seed)
        if options.threads:
            torch.set_num_threads(options.threads)
        check_device(options)
        self._normalizer = checkpoint.normalizer.to(options.device)
        example = {"states": torch.zeros(1, config.n_obs_steps, config.state_dim, device=options.device)}
        sampler = make_sampler(config.diffusion, options.steps, options.method)
        self._act = make_act(checkpoint.model.to(options.device), sampler, example, options)

    @classmethod
    def load(cls, folder: str | Path, options: RunOptions | None = None) -> StatePolicy:
        """Read a checkpoint; errors as `load_checkpoint`."""
        return cls(load_checkpoint(folder), options or RunOptions())

    def reset(self) -> None:
        """Start a new episode: its noise begins with the seed anew."""
        self._generator.manual_seed(self.options.seed)

    @torch.inference_mode()
    def plan(self, states: NDArray[Any], generator: torch.Generator | None = None) -> NDArray[np.float32]:
        """The whole horizon (horizon, action_dim); row 0 belongs to the oldest of the states (n_obs_steps, state_dim).

        Raises:
            ValueError: states of another shape, or numbers that are none.
        """
        wanted = (self.config.n_obs_steps, self.config.state_dim)
        values = np.asarray(states, np.float32)
        if values.shape != wanted or not np.isfinite(values).all():
            raise ValueError(
                f"expected finite states of shape {wanted}, oldest first, got shape {values.shape}"
                f"{'' if values.shape != wanted else ' with NaN or infinity'}: hold until the robot's state is known"
            )
        generator = generator or self._generator
        noise = torch.randn(self.options.samples, *self.config.action_shape, generator=generator)
        tensors = {"states": torch.from_numpy(values)[None].to(self.options.device)}
        actions = self._act(self._normalizer.normalize(tensors), noise.to(self.options.device), generator)
        result: NDArray[np.float32] = self._normalizer.actions(actions)[0].cpu().numpy()
        return result

    def __call__(self, states: NDArray[Any], generator: torch.Generator | None = None) -> NDArray[np.float32]:
        """The actions to carry out now (n_action_steps, action_dim), from the newest state on; errors as `plan`."""
        first = self.config.n_obs_steps - 1
        return self.plan(states, generator)[first : first + self.config.n_action_steps]
