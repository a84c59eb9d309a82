"""The state of a run in one safetensors file: weights, their average, AdamW's moments, and as JSON all the rest.

Replaced in one step, so a run that is killed at any time goes on from the last whole state, to the same weights bit for
bit: the order of the samples follows from the sampler's state, all noise from the seed and the step.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from insertion_vla_core.strict_yaml import StrictModel
from insertion_vla_policy.ema import Ema
from insertion_vla_policy.tensors import load_tensors
from pydantic import Field, ValidationError
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from insertion_vla_training.bags.pool import NO_SPACE
from insertion_vla_training.trainer.settings import TrainSettings

STATE_FILE = "state.safetensors"
WEIGHTS, AVERAGE, MOMENTS = "weights.", "average.", "moments."
NAMED = 4


class RunState(StrictModel):
    """What a run knows of itself beside tensors.

    Attributes:
        step: the next one.
        stretches: of the learning rate, see schedule.py.
        plan: everything that a step depends on; another plan is another run.
        name: in the trackers.
        sampler: where the loader has got to.
        updates: of the average.
        best: lowest validation loss so far.
        near, far: samples near contact and others that were seen.
        loss_sum, loss_steps: since the last validation.
    """

    step: int = Field(default=0, ge=0)
    stretches: tuple[tuple[int, int], ...] = Field(default=(), strict=False)
    plan: dict[str, str] = {}
    name: str = ""
    sampler: dict[str, Any] = {}
    updates: int = 0
    best: float | None = None
    near: int = 0
    far: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0


def plan_of(settings: TrainSettings, contract_hash: str, world: int) -> dict[str, str]:
    """Everything that a step depends on, as texts by name."""
    values = settings.model_dump(mode="json", include={"expert", "stage", "seed", "model", "optim", "backbone", "init"})
    values["data"] = settings.data.model_dump(mode="json", exclude={"workers", "cache"})
    values["samples_per_step"] = settings.optim.batch_size * settings.optim.accumulate * world
    for name in ("batch_size", "accumulate"):
        del values["optim"][name]
    return {"contract": contract_hash, **_flat(values)}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    result: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = str(value)
    return result


def check_plan(path: Path, saved: dict[str, str], now: dict[str, str], rewarm: bool) -> None:
    """Raises ValueError if a state belongs to another run.

    Args:
        path: of the state.
        saved, now: the plans.
        rewarm: whether other steps and rates are allowed.
    """
    if saved.get("contract") != now["contract"]:
        raise ValueError(
            f"expected stores of the contract that {path} was trained on ({saved.get('contract', '')[:12]}), got "
            f"another ({now['contract'][:12]}): name the stores of that contract, or begin a new run in another --out"
        )
    different = [
        f"--{name.replace('_', '-')} {saved.get(name)} (now {value})"
        for name, value in now.items()
        if saved.get(name) != value and not (rewarm and name.startswith("optim."))
    ]
    if different:
        more = f" and {len(different) - NAMED} more" if len(different) > NAMED else ""
        raise ValueError(
            f"expected the settings that {path} was trained with: {'; '.join(different[:NAMED])}{more}. Give the same "
            "flags to go on, --rewarm for other steps and rates, or another --out to begin anew"
        )


def save_state(path: Path, module: nn.Module, ema: Ema, optimizer: torch.optim.AdamW, state: RunState) -> None:
    """Replace the state.

    Raises:
        ValueError: the disk is full; the state before this one stays.
    """
    tensors = {WEIGHTS + name: value for name, value in module.state_dict().items()}
    tensors |= {AVERAGE + name: value for name, value in ema.weights.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{MOMENTS}{index}.{name}": value for name, value in moments.items()}
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    data = save(plain, {"run": state.model_dump_json()})
    waiting = path.with_suffix(".part")
    try:
        with waiting.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        waiting.replace(path)
    except OSError as error:
        waiting.unlink(missing_ok=True)
        if error.errno in NO_SPACE:
            raise no_space(path, error, state.step) from error
        raise


def no_space(path: Path, error: OSError, step: int) -> ValueError:
    """The sentence for a full disk."""
    return ValueError(
        f"no space left for {path} at step {step}: {error.strerror}; what was saved before stays: make space and run "
        "the same command again to go on"
    )


def read_run(path: Path) -> RunState:
    """What a state file says of its run; raises ValueError if it is none."""
    load_tensors(path, "the state of a training run")  # refuses pickles and damaged files
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get("run", "")
    try:
        return RunState.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"expected the state of a training run in {path}, got another file: remove it") from error


def load_state(path: Path, module: nn.Module, ema: Ema, optimizer: torch.optim.AdamW) -> RunState:
    """Bring a run back to its last state.

    Raises:
        ValueError: the file is damaged or of other code.
    """
    state, tensors = read_run(path), load_tensors(path, "the state of a training run")
    weights = _of(tensors, WEIGHTS)
    wanted = {name: value.shape for name, value in module.state_dict().items()}
    average = _of(tensors, AVERAGE)
    for found in (weights, average):
        if {name: value.shape for name, value in found.items()} != wanted:
            raise ValueError(
                f"expected the weights of this model in {path}, got others: begin a new run in another --out"
            )
    module.load_state_dict(weights)
    for name, value in average.items():
        ema.weights[name].copy_(value)
    ema.updates = state.updates
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _of(tensors, MOMENTS).items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def _of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
