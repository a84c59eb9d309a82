"""`train`: an expert learns from stores. The recipe, top to bottom; its parts are in `trainer/`.

train --out runs/a --data.stores data/sim --data.features tiny_vl --expert diffusion
torchrun --nproc-per-node 4 -m insertion_vla_training.train --out runs/a ...

The same command goes on where a run was stopped. RUN/checkpoint is the policy after the last validation, RUN/best that
with the lowest validation loss. See docs/training.md.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from insertion_vla_policy.ema import Ema

from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import run_verb
from insertion_vla_training.trainer.command import TypedParser
from insertion_vla_training.trainer.contact import loss_weights, near_contact
from insertion_vla_training.trainer.data import endless, loader_of, to_device
from insertion_vla_training.trainer.estimate import print_estimate
from insertion_vla_training.trainer.finish import save_policy, validate
from insertion_vla_training.trainer.guard import stop_on_broken_validation, stop_on_nan
from insertion_vla_training.trainer.objective import Objective, rows_of, step_draws
from insertion_vla_training.trainer.optimizer import make_optimizer
from insertion_vla_training.trainer.plots import plot_run
from insertion_vla_training.trainer.records import Records
from insertion_vla_training.trainer.resume import begin
from insertion_vla_training.trainer.schedule import rate_share, set_rates
from insertion_vla_training.trainer.settings import TrainSettings
from insertion_vla_training.trainer.start import load, seed_all, start_processes, write_config
from insertion_vla_training.trainer.state import STATE_FILE, save_state
from insertion_vla_training.trainer.trackers import check_trackers, start_trackers


def train(settings: TrainSettings) -> int:
    """A whole run, or what is left of it; returns the exit code."""
    if not settings.out and not settings.dry_run:
        raise ValueError("expected a folder for the run: --out runs/NAME")
    check_trackers(settings)
    processes = start_processes(settings)
    rank, world, device = processes.process_index, processes.num_processes, processes.device
    run, optim = Path(settings.out), settings.optim

    # What learns, and from what.
    with processes.main_process_first():  # one process prepares the samples, the others find them
        learned = load(settings, device)
    data = learned.data
    objective = Objective(learned.model, data.normalizer.to(device), learned.backbone).train()
    optimizer = make_optimizer(objective, settings)
    ema = Ema(objective, optim.ema_decay)
    loader = loader_of(data, settings, rank, world, device)
    per_epoch = max(1, len(loader) // optim.accumulate)
    steps = optim.steps or max(1, round(optim.epochs * per_epoch))
    if settings.dry_run:
        print_estimate(settings, learned, objective, optimizer, loader, steps)
        return 0

    # Where the run has got to: everything below depends on the settings, the data and this.
    state = begin(run / STATE_FILE, settings, data.contract_hash, world, steps, objective, ema, optimizer, loader)
    records = None
    if processes.is_main_process:
        write_config(settings, run)
        records = Records(run, state.step, start_trackers(settings, run, state.name, state.step))
    wrapped = processes.prepare_model(objective)
    batches = endless(loader)
    every = settings.validation.every or per_epoch
    started_s, seen = time.monotonic(), 0

    with contextlib.ExitStack() as stack:
        if records is not None:
            stack.callback(records.close)
            progress = stack.enter_context(Progress("train", steps, "step"))
            progress.advance(state.step)
        while state.step < steps:
            step = state.step
            share = rate_share(step, state.stretches, optim.warmup_ratio, optim.hold_ratio)
            set_rates(optimizer.param_groups, share, optim.min_lr)
            count = optim.batch_size * world
            draws = step_draws(learned.model, settings.seed, step, count * optim.accumulate)

            # Gradients of all micro-batches; processes exchange them with the last one.
            sums = torch.zeros(5, device=device)
            losses: list[torch.Tensor] = []
            indices: list[int] = []
            for micro in range(optim.accumulate):
                batch = next(batches)
                tensors = to_device(batch, device)
                near = near_contact(tensors["action"])
                mine = rows_of(draws, micro * count + rank, optim.batch_size, world, device)
                images = list(zip(batch["images"], batch["instructions"], strict=True)) if "images" in batch else None
                # Chance of dropout and of pictures; after the loader, which draws a number where it begins anew.
                seed_all(learned, settings.seed * 1_000_003 + (step * optim.accumulate + micro) * world + rank)
                last = micro == optim.accumulate - 1
                with contextlib.nullcontext() if last else processes.no_sync(wrapped):
                    loss = wrapped(tensors, mine, images)
                    weights = loss_weights(near, optim.sensor_loss_weight, data.contact_share)
                    weighted = (loss.per_sample * weights).mean() / optim.accumulate
                    processes.backward(weighted)
                level = loss.extra["diffusion_t"].float().mean() if "diffusion_t" in loss.extra else sums.new_zeros(())
                parts = [weighted, loss.per_sample.mean() / optim.accumulate, level / optim.accumulate]
                sums += torch.stack([*(part.detach() for part in parts), near.sum(), (~near).sum()])
                losses.append(loss.per_sample.detach())
                indices += batch["index"].tolist()

            norm = float(torch.nn.utils.clip_grad_norm_(objective.parameters(), optim.clip))
            if not math.isfinite(norm):
                stop_on_nan(processes, data.train, indices, torch.cat(losses), step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            ema.update(objective)

            loss_step, plain, level_mean, near_count, far_count = _over_processes(sums, processes)
            seen += count * optim.accumulate
            state = state.model_copy(
                update={
                    "step": step + 1,
                    "sampler": loader.state_dict(),
                    "updates": ema.updates,
                    "near": state.near + round(near_count),
                    "far": state.far + round(far_count),
                    "loss_sum": state.loss_sum + loss_step,
                    "loss_steps": state.loss_steps + 1,
                }
            )
            due = state.step % every == 0 or state.step == steps
            if records is not None:
                progress.advance()
                if state.step % settings.log.every == 0 or due:
                    metrics = {
                        "epoch": state.step / per_epoch,
                        "train/loss_step": loss_step,
                        "train/lr": optimizer.param_groups[0]["lr"],
                        "train/grad_norm": norm,
                        "train/sensor_samples": state.near,
                        "train/nonsensor_samples": state.far,
                        "train/samples_per_s": seen / (time.monotonic() - started_s),
                    }
                    if draws is not None:
                        metrics |= {"train/noise_loss": plain, "train/diffusion_t": level_mean}
                    records.add(state.step, metrics)

            # The average of the weights is what is validated, and what the policy's folder holds.
            if due:
                outcome = validate(settings, learned, objective, ema, processes)
                stop_on_broken_validation(outcome.loss, state.step)
                epoch_loss = state.loss_sum / state.loss_steps
                state = state.model_copy(update={"loss_sum": 0.0, "loss_steps": 0})
                better = outcome.loss is not None and (state.best is None or outcome.loss < state.best)
                if better:
                    state = state.model_copy(update={"best": outcome.loss})
                if records is not None:
                    records.add(state.step, {"train/loss_epoch": epoch_loss, **outcome.metrics(learned)})
                    progress.say(outcome.sentence(state.step, epoch_loss))
                    for name in ("checkpoint", "best") if better or outcome.loss is None else ("checkpoint",):
                        save_policy(run / name, settings, learned, objective, ema, state, outcome)
                    outcome.write(run)
                    records.write_csv()
                    plot_run(records.rows, run / "plots" / "training.png")
            if records is not None and (due or state.step % settings.log.save_every == 0):
                save_state(run / STATE_FILE, objective, ema, optimizer, state)
    processes.wait_for_everyone()
    processes.end_training()
    if processes.is_main_process:
        print(f"{run}: {state.step} steps; the policy is {run / 'checkpoint'}")
    return 0


def _over_processes(sums: torch.Tensor, processes: Any) -> list[float]:
    """Losses as means over the processes, counts as sums."""
    if processes.num_processes > 1:
        sums = cast(torch.Tensor, processes.reduce(sums, "sum"))
        sums[:3] /= processes.num_processes
    return cast(list[float], sums.tolist())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the verb."""
    parser = TypedParser("train", "Trains an expert on stores.", TrainSettings)
    return run_verb(parser, cast(Any, train), arguments)


if __name__ == "__main__":
    sys.exit(main())
