"""Trackers: TensorBoard, and Weights & Biases where it is installed; with the projects, run names and keys of old."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any, Protocol

from insertion_vla_training.trainer.settings import Expert, TrainSettings

PROJECTS: dict[Expert, str] = {
    "regression": "QwenVLA-Regression",
    "diffusion": "QwenVLA-Diffusion",
    "state_diffusion": "QwenVLA-StateDiffusion",
}


class Tracker(Protocol):
    """Shows metrics."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Values by key after a step."""
        ...

    def close(self) -> None:
        """The run has ended."""
        ...


class TensorBoard:
    """Event files in the run's folder: tensorboard --logdir RUN."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Events after `step` are of steps that are done again.
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, values: dict[str, float]) -> None:
        """See `Tracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class Wandb:
    """A run of Weights & Biases; a resumed one goes on under its id."""

    def __init__(self, folder: Path, settings: TrainSettings, name: str) -> None:
        import wandb

        self._run: Any = wandb.init(
            project=settings.log.project or PROJECTS[settings.expert],
            name=name,
            id=f"{name}_{settings.seed}",
            resume="allow",
            dir=str(folder),
            config=settings.model_dump(mode="json"),
        )

    def log(self, step: int, values: dict[str, float]) -> None:
        """See `Tracker`."""
        self._run.log({**values, "global_step": step}, step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


def check_trackers(settings: TrainSettings) -> None:
    """Raises ValueError for a tracker that is not installed."""
    if "wandb" in settings.log.trackers and importlib.util.find_spec("wandb") is None:
        raise ValueError(
            "expected the package wandb for --log.trackers wandb, it is not installed: pip install "
            "'insertion_vla_training[wandb]', or leave it out: --log.trackers tensorboard"
        )


def run_name(settings: TrainSettings) -> str:
    """By default the expert and the time, as regression_1127_0930."""
    return settings.log.name or f"{settings.expert}_{time.strftime('%m%d_%H%M')}"


def start_trackers(settings: TrainSettings, folder: Path, name: str, step: int) -> list[Tracker]:
    """Those that the settings name."""
    trackers: list[Tracker] = []
    if "tensorboard" in settings.log.trackers:
        trackers.append(TensorBoard(folder, step))
    if "wandb" in settings.log.trackers:
        trackers.append(Wandb(folder, settings, name))
    return trackers
