"""How a run begins: anew, where it was stopped, or with a new warm-up."""

from __future__ import annotations

from pathlib import Path

import torch
from insertion_vla_policy.ema import Ema
from torch import nn

from insertion_vla_training.datasets.loader import TrainingLoader
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.state import RunState, check_plan, load_state, plan_of, read_run
from insertion_vla_training.trainer.trackers import run_name


def begin(
    path: Path,
    settings: TrainSettings,
    contract_hash: str,
    world: int,
    steps: int,
    module: nn.Module,
    ema: Ema,
    optimizer: torch.optim.AdamW,
    loader: TrainingLoader,
) -> RunState:
    """The state to go on from; module, average, optimiser and loader are brought to it.

    Args:
        path: of the state file; without one the run begins.
        settings: of the run.
        contract_hash: of the stores.
        world: number of processes.
        steps: of the whole run.
        module, ema, optimizer, loader: what is brought back.

    Raises:
        ValueError: the state is of another run, other data or damaged.
    """
    plan = plan_of(settings, contract_hash, world)
    if not path.exists():
        return RunState(stretches=((0, steps),), plan=plan, name=run_name(settings), sampler=loader.state_dict())
    check_plan(path, read_run(path).plan, plan, settings.rewarm)
    state = load_state(path, module, ema, optimizer)
    loader.load_state_dict(state.sampler)
    if state.plan == plan:
        return state
    if steps <= state.step:
        raise ValueError(
            f"expected more than the {state.step} steps that {path.parent} has made, got {steps}: raise --optim.steps"
        )
    return state.model_copy(update={"plan": plan, "stretches": (*state.stretches, (state.step, steps))})
