"""Validation of the averaged weights, and the policy's folder."""

from __future__ import annotations

import math
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import torch
from insertion_vla_core.revision import git_revision
from insertion_vla_policy.checkpoint import save_checkpoint
from insertion_vla_policy.checkpoint_config import CheckpointConfig
from insertion_vla_policy.ema import Ema
from insertion_vla_policy.model_config import VlaConfig
from safetensors import SafetensorError
from torch import nn

from insertion_vla_training.bags.pool import NO_SPACE
from insertion_vla_training.datasets.loader import validation_batches
from insertion_vla_training.trainer.data import copied_backbone, to_device
from insertion_vla_training.trainer.estimate import parameter_counts
from insertion_vla_training.trainer.objective import Draws, Objective, step_draws
from insertion_vla_training.trainer.records import JSONL, read_metrics, training_hours
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.start import Learned
from insertion_vla_training.trainer.state import RunState
from insertion_vla_training.validation.report import Report, headline, markdown, report_on, verdict, write_report

MODEL, ADAPTER = "model.", "adapter."
NOISE_SEED = 77  # of validation: the same noise each time, so that losses can be compared


@dataclass(frozen=True, eq=False)
class Outcome:
    """Of a validation; empty where it is switched off."""

    loss: float | None = None
    report: Report | None = None

    def metrics(self, learned: Learned) -> dict[str, float]:
        """For trackers."""
        trained, frozen = parameter_counts(learned, learned.model)
        values = {
            "params/trainable_M": trained / 1e6,
            "params/frozen_M": frozen / 1e6,
            "params/frozen_ratio": frozen / max(1, trained + frozen),
            "system/cpu_mem_%": psutil.virtual_memory().percent,
        }
        if torch.cuda.is_available():
            values["system/gpu_mem_GB"] = torch.cuda.memory_allocated() / 1e9
        if self.loss is not None and self.report is not None:
            values |= {"val/loss_epoch": self.loss, **headline(self.report)}
        return values

    def sentence(self, step: int, train_loss: float) -> str:
        """For people."""
        said = f"step {step}: train loss {train_loss:.4f}"
        if self.loss is None or self.report is None:
            return said
        figures = ", ".join(f"{name.removeprefix('val/')} {value:.3f}" for name, value in headline(self.report).items())
        return f"{said}, validation loss {self.loss:.4f} ({figures}): {verdict(self.report)}"

    def write(self, run: Path) -> None:
        """validation.json and its picture."""
        if self.report is not None:
            write_report(self.report, run / "plots")


@contextmanager
def averaged(module: nn.Module, ema: Ema) -> Iterator[None]:
    """The module with the averaged weights, in evaluation mode; afterwards as before, bit for bit."""
    kept = {name: value.detach().clone() for name, value in module.state_dict().items()}
    module.load_state_dict(ema.weights)
    module.eval()
    try:
        yield
    finally:
        module.load_state_dict(kept)
        module.train()


def validate(settings: TrainSettings, learned: Learned, objective: Objective, ema: Ema, processes: Any) -> Outcome:
    """Loss over all validation samples, by all processes; errors in mm and degrees by the first."""
    samples = learned.data.validation
    if samples is None:
        return Outcome()
    wanted, device = settings.validation, processes.device
    with averaged(objective, ema), torch.no_grad():
        loss = _loss(settings, learned, objective, processes)
        report = None
        if processes.is_main_process and math.isfinite(loss):
            watched = _Watched(samples, learned) if learned.backbone else samples
            report = report_on(
                learned.model,
                learned.data.normalizer.to(device),
                cast(Any, watched),
                wanted.samples,
                wanted.draws,
                min(wanted.sampling_steps, learned.data.model.diffusion.train_steps),
            )
    processes.wait_for_everyone()
    return Outcome(loss, report)


def _loss(settings: TrainSettings, learned: Learned, objective: Objective, processes: Any) -> float:
    samples: Any = learned.data.validation
    draws = step_draws(learned.model, NOISE_SEED, 0, len(samples))
    total = torch.zeros(2, dtype=torch.float64, device=processes.device)
    size = settings.optim.batch_size
    for batch in validation_batches(samples, size, processes.process_index, processes.num_processes):
        mine = None if draws is None else Draws(*(part[batch["index"]].to(processes.device) for part in draws))
        images = list(zip(batch["images"], batch["instructions"], strict=True)) if "images" in batch else None
        per_sample = objective(to_device(batch, processes.device), mine, images).per_sample
        total += torch.stack([per_sample.double().sum(), total.new_tensor(len(per_sample))])
    if processes.num_processes > 1:
        total = processes.reduce(total, "sum")
    return float(total[0] / total[1])


class _Watched:
    """A validation set whose images the backbone of stage 2 looks at."""

    def __init__(self, samples: Any, learned: Learned) -> None:
        self._samples, self._learned = samples, learned

    def __len__(self) -> int:
        return len(self._samples)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._samples, name)

    def batch(self, indices: list[int], shares: list[float]) -> dict[str, Any]:
        """With the tokens of the images."""
        batch = self._samples.batch(indices, shares)
        assert self._learned.backbone is not None
        tokens, mask = self._learned.backbone.tokens(
            list(zip(batch.pop("images"), batch.pop("instructions"), strict=True))
        )
        return {**batch, "features": tokens.cpu().numpy(), "features_mask": mask.cpu().numpy()}


def save_policy(
    folder: Path,
    settings: TrainSettings,
    learned: Learned,
    objective: Objective,
    ema: Ema,
    state: RunState,
    outcome: Outcome,
) -> None:
    """The policy's folder: weights, their average, normaliser, contract, and a card with the verdict.

    Raises:
        ValueError: the disk is full; what was saved before stays.
    """
    data = learned.data
    adapter = tempfile.TemporaryDirectory(prefix="insertion_vla_adapter_")
    with adapter if learned.backbone else nullcontext("") as waiting:
        reference, source = data.backbone, copied_backbone(data)
        if learned.backbone is not None:
            source = Path(waiting)
            reference = learned.backbone.save(source, _of(ema.weights, ADAPTER))
        elif reference is not None and source is not None:
            reference = reference.model_copy(update={"source": "backbone"})
        is_vla = isinstance(data.model, VlaConfig)
        config = CheckpointConfig(
            vla=data.model if isinstance(data.model, VlaConfig) else None,
            state_diffusion=None if isinstance(data.model, VlaConfig) else data.model,
            backbone=reference,
            training=_training(settings, state, outcome) | _cost(folder.parent),
        )
        notes = markdown(outcome.report) if outcome.report else "Not validated: there were no validation episodes."
        try:
            save_checkpoint(
                folder,
                config,
                _of(objective.state_dict(), MODEL),
                data.normalizer,
                data.contract_text if is_vla else None,
                _of(ema.weights, MODEL),
                notes,
                source,
            )
        except (OSError, SafetensorError) as error:
            if isinstance(error, OSError) and error.errno not in NO_SPACE:
                raise
            raise ValueError(
                f"no space left for the policy {folder} at step {state.step}: {error}; what was saved before stays: "
                "make space and run the same command again to go on"
            ) from error


def _training(settings: TrainSettings, state: RunState, outcome: Outcome) -> dict[str, str | int | float | bool]:
    values: dict[str, str | int | float | bool] = {
        "steps": state.step,
        "samples_seen": state.near + state.far,
        "stores": ", ".join(settings.data.stores),
        "stage": settings.stage,
        "seed": settings.seed,
        "git_revision": git_revision(Path(__file__)),
    }
    if outcome.loss is not None and outcome.report is not None:
        values["val/loss_epoch"] = round(outcome.loss, 6)
        values |= {name: round(value, 6) for name, value in headline(outcome.report).items()}
    return values


def _cost(run: Path) -> dict[str, float]:
    values = {
        "training_hours": round(training_hours(read_metrics(run / JSONL)), 3),
        "peak_memory_GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    if torch.cuda.is_available():
        values["peak_gpu_memory_GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return values


def _of(weights: Any, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
