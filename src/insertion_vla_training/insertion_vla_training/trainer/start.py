"""What a run is made of before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml
from accelerate import Accelerator, DistributedDataParallelKwargs
from insertion_vla_policy.checkpoint import load_checkpoint, load_training_weights
from insertion_vla_policy.model import Model, build_model
from torch import nn

from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.stores.episode_index import TRAIN
from insertion_vla_training.trainer.data import TrainingData, vla_data
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.state_data import state_data

if TYPE_CHECKING:
    from insertion_vla_training.trainer.live_backbone import LiveBackbone

CONFIG_FILE = "config.yaml"
PART_PREFIX = {"force": "encoder.force.", "state": "encoder.state.", "features": "encoder.features."}


@dataclass(frozen=True, eq=False)
class Learned:
    """Data, the expert, and in stage 2 the backbone."""

    data: TrainingData
    model: Model
    backbone: LiveBackbone | None


def start_processes(settings: TrainSettings) -> Accelerator:
    """This process among those that torchrun started, its device and its precision."""
    torch.set_num_threads(settings.threads)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a GPU for --device cuda, this machine shows none: use --device cpu")
    on_cpu = settings.device == "cpu" or not torch.cuda.is_available()
    wanted = settings.optim.precision
    half = wanted == "bfloat16" or (wanted == "auto" and not on_cpu)
    return Accelerator(
        cpu=on_cpu,
        mixed_precision="bf16" if half else "no",
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def load(settings: TrainSettings, device: torch.device) -> Learned:
    """Data and model; the same weights on every rank.

    Raises:
        ValueError: what is missing or does not fit, and what to do.
    """
    backbone = None
    if settings.expert == "state_diffusion":
        data = state_data(settings)
    elif settings.stage == 2:
        # transformers and peft take seconds to import.
        from insertion_vla_training.trainer.live_backbone import LiveBackbone

        torch.manual_seed(settings.seed)  # of the adapter
        backbone = LiveBackbone(settings.backbone, device)
        views = tuple(backbone.settings.views)
        first = TrainingSet(settings.data.sources(), TRAIN, ages=settings.data.feature_ages(), image_views=views)
        seen = first.batch([0], [0.5])
        data = vla_data(settings, views, backbone.probe((seen["images"][0], seen["instructions"][0])))
    else:
        data = vla_data(settings)
    torch.manual_seed(settings.seed)
    model = build_model(data.model).to(device)
    _initialise(model, data, settings)
    return Learned(data, model, backbone)


def _initialise(model: nn.Module, data: TrainingData, settings: TrainSettings) -> None:
    """Weights of another policy, whole or in parts, and what is frozen."""
    if settings.init.checkpoint is not None:
        _take(model, data, settings, Path(settings.init.checkpoint))
    for part in settings.init.freeze:
        for _, parameter in _part(model, part):
            parameter.requires_grad_(False)


def _take(model: nn.Module, data: TrainingData, settings: TrainSettings, folder: Path) -> None:
    source = load_checkpoint(folder)
    if not settings.init.parts:
        if source.config.model != data.model:
            names = ", ".join(_different(source.config.model.model_dump(), data.model.model_dump()))
            raise ValueError(
                f"expected the model of {folder} to be that of this run; they differ in {names}: give the same --model "
                "flags, or take parts of it: --init.parts force state"
            )
        load_training_weights(folder, model)
        return
    theirs = source.model.state_dict()
    load_training_weights(folder, source.model)
    for part in settings.init.parts:
        for name, parameter in _part(model, part):
            if name not in theirs or theirs[name].shape != parameter.shape:
                raise ValueError(
                    f"expected the encoder '{part}' of {folder} to be of this model's size, '{name}' is not: give the "
                    "same --model flags, or leave the part out"
                )
            parameter.data.copy_(theirs[name])


def _part(model: nn.Module, part: str) -> list[tuple[str, nn.Parameter]]:
    found = [(name, p) for name, p in model.named_parameters() if name.startswith(PART_PREFIX[part])]
    if not found:
        raise ValueError(f"expected the encoder '{part}' in the model, it has none: leave it out of --init")
    return found


def _different(a: dict, b: dict, prefix: str = "") -> list[str]:
    names = []
    for name in a.keys() | b.keys():
        if isinstance(a.get(name), dict) and isinstance(b.get(name), dict):
            names += _different(a[name], b[name], f"{prefix}{name}.")
        elif a.get(name) != b.get(name):
            names.append(prefix + name)
    return sorted(names)


def seed_all(learned: Learned, number: int) -> None:
    """Everything that is drawn until the next call follows from this number."""
    torch.manual_seed(number % 2**63)
    if learned.backbone is not None:
        learned.backbone.seed(number)


def write_config(settings: TrainSettings, folder: Path) -> None:
    """The settings of a run, for `train --config`."""
    folder.mkdir(parents=True, exist_ok=True)
    values = settings.model_dump(mode="json", exclude={"out", "rewarm", "dry_run"})
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
