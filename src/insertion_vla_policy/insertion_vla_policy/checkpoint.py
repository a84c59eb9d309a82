"""A trained policy as a folder, written whole or not at all and read strictly.

config.yaml             what the model is made of, and the backbone whose features it was trained with
contract.yaml           the contract it was trained on (not for state policies)
model.safetensors       weights: `model.*` as trained, `ema.*` their average; the average is what runs
normalizer.safetensors  centres and scales of inputs and actions
MODEL_CARD.md           for people; its table of sizes and hashes is checked when the folder is read
backbone/               a backbone trained with the policy, if there is one
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from insertion_vla_core.contract import Contract, differences, parse_contract
from safetensors.torch import save_file
from torch import Tensor

from insertion_vla_policy.checkpoint_config import CONFIG, CheckpointConfig, config_yaml, load_config
from insertion_vla_policy.inputs import InputSpec, input_spec
from insertion_vla_policy.model import Model, build_model
from insertion_vla_policy.model_card import CARD, check_card, write_card
from insertion_vla_policy.model_config import VlaConfig
from insertion_vla_policy.normalizer import Normalizer, load_normalizer, save_normalizer
from insertion_vla_policy.tensors import load_tensors

CONTRACT, WEIGHTS, NORMALIZER, BACKBONE = "contract.yaml", "model.safetensors", "normalizer.safetensors", "backbone"
TRAINED, AVERAGE = "model.", "ema."
NAMED = 5  # differences that a sentence lists


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a folder holds.

    Attributes:
        folder: where it was read.
        config: what the model is made of.
        model: with the averaged weights, for inference.
        normalizer: of its inputs and actions.
        contract: that it was trained on; None for state policies.
        sha256: of the weights' file.
    """

    folder: Path
    config: CheckpointConfig
    model: Model
    normalizer: Normalizer
    contract: Contract | None
    sha256: str


def save_checkpoint(
    folder: str | Path,
    config: CheckpointConfig,
    weights: Mapping[str, Tensor],
    normalizer: Normalizer,
    contract_text: str | None = None,
    average: Mapping[str, Tensor] | None = None,
    notes: str = "",
    backbone: Path | None = None,
) -> None:
    """Write a checkpoint; one that is there already is replaced, never mixed with the new one.

    Args:
        folder: its place.
        config: see CheckpointConfig.
        weights: `model.state_dict()`.
        normalizer: used in training.
        contract_text: YAML of the contract, as the store has it.
        average: `ema.weights`; None where none was kept.
        notes: Markdown for the model card: data, losses, errors, what it is good for.
        backbone: folder of a backbone that was trained with it, copied to `backbone`.

    Raises:
        ValueError: weights that are not finite, or a contract that does not fit the model.
        OSError: the disk is full.
    """
    folder = Path(folder)
    tensors = {TRAINED + name: _plain(value, name) for name, value in weights.items()}
    tensors |= {AVERAGE + name: _plain(value, name) for name, value in (average or {}).items()}
    if contract_text is not None:
        _check_contract(config, parse_contract(contract_text, "the contract of the checkpoint"), folder)
    making = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        (making / CONFIG).write_text(config_yaml(config), encoding="utf-8")
        if contract_text is not None:
            (making / CONTRACT).write_text(contract_text, encoding="utf-8")
        save_file(tensors, making / WEIGHTS)
        save_normalizer(normalizer, making / NORMALIZER)
        if backbone is not None:
            shutil.copytree(backbone, making / BACKBONE)
        write_card(making, config, folder.name, notes)
        _replace(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _plain(value: Tensor, name: str) -> Tensor:
    value = value.detach().cpu().contiguous().clone()
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise ValueError(f"expected finite weights, got NaN or infinity in '{name}': the run is broken, nothing saved")
    return value


def _replace(making: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    if folder.exists():
        folder.replace(old)
    making.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read a checkpoint; everything is checked before anything is used, and nothing is ever unpickled.

    Raises:
        ValueError: one sentence: which file is missing, damaged or does not fit, and what to do.
    """
    folder = Path(folder).expanduser()
    config = load_config(folder)
    wanted = [WEIGHTS, NORMALIZER, CARD] + ([CONTRACT] if config.vla else [])
    if absent := [name for name in wanted if not (folder / name).is_file()]:
        raise ValueError(f"expected {', '.join(absent)} in {folder}, not there: copy the whole checkpoint folder")
    contract = None
    if config.vla:
        contract = parse_contract((folder / CONTRACT).read_text(encoding="utf-8"), str(folder / CONTRACT))
        _check_contract(config, contract, folder)
    tensors = load_tensors(folder / WEIGHTS, "the weights of a policy")
    normalizer = load_normalizer(folder / NORMALIZER)
    hashes = check_card(folder)
    model = build_model(config.model)
    _load_weights(model, tensors, folder / WEIGHTS)
    _check_normalizer(config, normalizer, folder / NORMALIZER)
    return Checkpoint(folder, config, model.eval(), normalizer, contract, hashes[WEIGHTS])


def load_training_weights(folder: str | Path, model: torch.nn.Module) -> None:
    """Load the weights as trained, not their average, into a model: to go on from them. Errors as `load_checkpoint`."""
    path = Path(folder).expanduser() / WEIGHTS
    tensors = load_tensors(path, "the weights of a policy")
    _load_weights(model, {name: value for name, value in tensors.items() if name.startswith(TRAINED)}, path)


def check_live_contract(checkpoint: Checkpoint, live: Contract) -> None:
    """Refuse to run on another contract than that of the training.

    Raises:
        ValueError: naming both sides of every difference.
    """
    if checkpoint.contract is None:
        raise ValueError(
            f"expected a policy on the contract's observations in {checkpoint.folder}, got a state policy: it runs on "
            "low-dimensional states, in a program of its own, not in the graph"
        )
    if wrong := differences(checkpoint.contract, live):
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise ValueError(
            f"the policy in {checkpoint.folder} was trained on another contract than '{live.name}' of this graph "
            f"(policy against graph): {'; '.join(wrong[:NAMED])}{more}; run it with its own {CONTRACT}, or train again"
        )


def _load_weights(model: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    prefix = AVERAGE if any(name.startswith(AVERAGE) for name in tensors) else TRAINED
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    wanted = model.state_dict()
    wrong = [f"'{name}' is missing" for name in wanted if name not in found]
    wrong += [f"'{name}' is unknown" for name in found if name not in wanted]
    wrong += [
        f"'{name}' has shape {list(found[name].shape)} instead of {list(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise ValueError(
            f"expected the weights of the model that {CONFIG} describes in {path}: {'; '.join(wrong[:NAMED])}{more}; "
            "the files are from different checkpoints, copy the whole folder again"
        )
    model.load_state_dict(found)


def _check_contract(config: CheckpointConfig, contract: Contract, folder: Path) -> None:
    """The inputs must be some that the contract gives."""
    if config.vla is None:
        raise ValueError(f"expected no contract for the state policy in {folder}, got '{contract.name}'")
    spec: InputSpec = config.vla.inputs
    force, poses = contract.stream("force"), contract.stream("tool_pose")
    steps_hz = force.rate_hz / spec.history_force_rows
    given = input_spec(
        contract,
        spec.feature_tokens,
        spec.feature_dim,
        force_window_s=spec.force_rows / force.rate_hz,
        history_s=(spec.history_rows + 0.5) / steps_hz,
        history_hz=steps_hz,
        surface=spec.history_surface_rows > 0,
        target=spec.target,
    )
    wrong = [
        f"{name} is {value} against {getattr(given, name)}"
        for name, value in spec.model_dump().items()
        if getattr(given, name) != value
    ]
    if wrong:
        raise ValueError(
            f"expected inputs that the contract '{contract.name}' gives in {folder}, these differ (model against "
            f"contract, {poses.max_age_s:g} s poses): {'; '.join(wrong)}; the files are from different checkpoints"
        )


def _check_normalizer(config: CheckpointConfig, normalizer: Normalizer, path: Path) -> None:
    shapes: dict[str, tuple[int, ...]]
    model = config.model
    if isinstance(model, VlaConfig):
        shapes = {name: shape for name, shape in model.inputs.shapes().items() if not name.endswith("_mask")}
    else:
        shapes = {"states": (model.n_obs_steps, model.state_dim)}
    required: dict[str, Any] = {**shapes, "action": model.action_shape}
    for name, shape in required.items():
        if name not in normalizer.scales:
            if name == "features":  # left as they are
                continue
            raise ValueError(f"expected a scale for '{name}' in {path}, there is none: copy the whole folder again")
        size = tuple(normalizer.scales[name].shape)
        if size != shape[-len(size) :]:
            raise ValueError(
                f"expected a scale of shape {list(shape)} or its end for '{name}' in {path}, got {list(size)}: the "
                "files are from different checkpoints, copy the whole folder again"
            )
