"""State of a training run in one safetensors file: weights, AdamW's moments, and the step to go on with."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn


def save_state(path: Path, model: nn.Module, optimiser: torch.optim.AdamW, step: int, plan: dict[str, str]) -> None:
    """Writes the state aside and puts it in its place, so that a killed run leaves the last whole one."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor.contiguous() for name, tensor in moments.items()}
    aside = path.with_suffix(".part")
    save_file(tensors, aside, {"next_step": str(step), **plan})
    aside.replace(path)


def load_state(path: Path, model: nn.Module, optimiser: torch.optim.AdamW, plan: dict[str, str]) -> int:
    """The step to go on with, 0 if there is no state.

    Raises:
        ValueError: the state belongs to another plan (steps, seed ...) or is damaged.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"expected the state of a training run in {path}, got {error}: delete it") from error
    step = int(header.pop("next_step", -1))
    different = [f"{name} {header.get(name)} (now {plan[name]})" for name in plan if header.get(name) != plan[name]]
    if step < 0 or different:
        raise ValueError(
            f"expected {path} to be of this run, it was made with {', '.join(different)}: "
            "give the same flags to go on, or another --run to begin anew"
        )
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, moment = name.split(".")
            state.setdefault(int(index), {})[moment] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return step
