"""Trains the backbone `tiny_vl` on the simulation: draw frames, learn from cuts, then from whole pictures, measure.

    train_tiny_vl --run runs/tiny_vl --output models/tiny_vl

The run's folder holds the frames, the state and metrics.csv; the same command goes on where it was stopped, to the same
weights (a step's batch depends on the seed and the step alone). When the last step is done, the model is measured on
scenes that were not trained on, and written to --output with a card that tells the figures.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
from insertion_vla_policy.backbones.tiny_net import TinyConfig, TinyNet
from torch import nn

from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.tiny_vl.batch import Augmentation, Batch, make_batch
from insertion_vla_training.tiny_vl.loss import keypoint_loss
from insertion_vla_training.tiny_vl.report import measure, write_model
from insertion_vla_training.tiny_vl.set import COLOURS, KeypointSet, generate
from insertion_vla_training.tiny_vl.state import load_state, save_state

VALIDATION_SEED = 900_000  # the training set never reaches these seeds
CUT_SHARE, WHOLE_SHARE = 0.6, 0.25  # of the steps; the rest are whole pictures that are hardly changed
CUTS = Augmentation(160, 96, cut=True, turn_rad=0.15, scale=0.25)
WHOLE = Augmentation(320, 180, cut=False, turn_rad=0.08, scale=0.12, shift=0.08)
PLAIN = Augmentation(320, 180, cut=False, turn_rad=0.0, scale=0.03, shift=0.02)
WARM_UP, WEIGHT_DECAY, CLIP = 0.03, 0.01, 5.0
SAVE_EVERY_S = 60.0
LOG_EVERY = 20


class Learner(nn.Module):
    """The network, and a head that is not kept: it makes the picture's embedding tell where all tubes are."""

    def __init__(self) -> None:
        super().__init__()
        self.net = TinyNet(TinyConfig())
        self.layout = nn.Linear(self.net.config.width, COLOURS * 4)

    def loss(self, batch: Batch, bfloat16: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of a batch and its parts."""
        pictures = torch.from_numpy(batch.pictures).permute(0, 3, 1, 2)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            points = self.net(pictures, batch.sentences)
        layout = self.layout(points.appearance.float()).view(-1, COLOURS, 2, 2)
        return keypoint_loss(points, layout, torch.from_numpy(batch.pixels), torch.from_numpy(batch.seen))


def stage(step: int, steps: int, batch: int) -> tuple[Augmentation, int]:
    """What the pictures of a step look like, and how many there are: whole ones cost more."""
    if step < CUT_SHARE * steps:
        return CUTS, batch
    return (WHOLE if step < (CUT_SHARE + WHOLE_SHARE) * steps else PLAIN), max(2, batch * 3 // 8)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Up over the first 3 %, then half a cosine down to a hundredth."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))


def train(given: argparse.Namespace, frames: KeypointSet) -> Learner | None:
    """All steps; None if the time of this run was up before, with the state saved."""
    torch.manual_seed(given.seed)
    learner = Learner().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    decayed = [p for p in learner.parameters() if p.ndim > 1]
    others = [p for p in learner.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}], given.rate
    )
    # Everything that a step depends on: another answer here is another run.
    plan = {name: str(getattr(given, name)) for name in ("sets", "steps", "batch", "rate", "seed", "precision")}
    state = given.run / "state.safetensors"
    first = load_state(state, learner, optimiser, plan)
    started_s = saved_s = time.monotonic()
    learner.train()
    with Progress("train", given.steps, "step") as progress, _Log(given.run / "metrics.csv", first) as log:
        progress.advance(first)
        for step in range(first, given.steps):
            how, size = stage(step, given.steps, given.batch)
            batch = make_batch(frames, size, how, given.seed, step)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, given.steps, given.rate)
            loss, parts = learner.loss(batch, given.precision == "bfloat16")
            if not torch.isfinite(loss):
                raise ValueError(f"expected a finite loss, got {loss.item()} at step {step}: lower --rate")
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learner.parameters(), CLIP)
            optimiser.step()
            progress.advance()
            log.add(step, parts)
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                save_state(state, learner, optimiser, step + 1, plan)
                saved_s = time.monotonic()
            if given.minutes and time.monotonic() - started_s > 60.0 * given.minutes and step + 1 < given.steps:
                save_state(state, learner, optimiser, step + 1, plan)
                progress.say(f"{given.minutes:g} minutes are up after step {step + 1}; the same command goes on")
                return None
    save_state(state, learner, optimiser, given.steps, plan)
    return learner.eval()


class _Log:
    """metrics.csv: means of LOG_EVERY steps; a resumed run drops the rows that it does again."""

    def __init__(self, path: Path, first: int) -> None:
        rows = [row for row in csv.reader(path.open()) if row[0] == "step" or int(row[0]) < first] if first else []
        self._file = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerows(rows)
        self._new = not rows
        self._sums: list[dict[str, torch.Tensor]] = []

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.close()

    def add(self, step: int, parts: dict[str, torch.Tensor]) -> None:
        if self._new:
            self._writer.writerow(["step", *parts])
            self._new = False
        self._sums.append(parts)
        if len(self._sums) == LOG_EVERY:
            means = [torch.stack([one[name] for one in self._sums]).nanmean().item() for name in parts]
            self._writer.writerow([step, *(f"{mean:.5f}" for mean in means)])
            self._file.flush()
            self._sums.clear()


def work(given: argparse.Namespace) -> int:
    """Draw what is missing, train, measure, write."""
    if given.sets > VALIDATION_SEED or min(given.sets, given.validate, given.steps, given.batch) < 1:
        raise ValueError(f"expected 1 to {VALIDATION_SEED} sets, a step, and a batch of 1 at least: check the numbers")
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    folder = given.run / "frames"
    frames = KeypointSet(generate(folder, "train", 0, given.sets, given.processes))
    learner = train(given, frames)
    if learner is None:
        return 0
    unseen = {
        "unseen scenes": KeypointSet(generate(folder, "train", VALIDATION_SEED, given.validate, given.processes)),
        "held-out scenes, cameras moved": KeypointSet(generate(folder, "heldout", 0, given.validate, given.processes)),
    }
    write_model(given.output, learner.net)
    figures = {name: measure(given.output, frames, given.calibration) for name, frames in unseen.items()}
    print(write_model(given.output, learner.net, figures, vars(given)))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the verb."""
    parser = Parser("train_tiny_vl", "Trains the backbone tiny_vl on simulated pictures of the bench.")
    parser.add_argument("--run", type=Path, required=True, help="folder of frames, state and metrics; resumed if there")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write, for example models/tiny_vl")
    parser.add_argument("--calibration", type=Path, default=Path("config/calibration/sim.yaml"), help="of the views")
    parser.add_argument("--sets", type=int, default=7_000, help="frame sets (one picture per view) to train on")
    parser.add_argument("--validate", type=int, default=300, help="frame sets to measure on, of each kind")
    parser.add_argument("--steps", type=int, default=3_000, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=32, help="pictures per step in the first stage")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so long, to go on later; 0 does not")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the convolutions")
    parser.add_argument("--processes", type=int, default=1, help="that draw frames")
    parser.add_argument("--threads", type=int, default=1, help="of the training")
    return run_verb(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
