"""Training throughput: samples per second and core on cached features, by size and expert, and where the time goes.

Steps as `train` makes them (noise, loss, backward, clipping, AdamW, average), on random samples of the demo's shapes;
bench_loader.py has the time to read real ones. Times are of the CPU, so other programs disturb them little. Exit code 0
only if every bound holds: nano 400, small 60 samples/s/core.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
from insertion_vla_core.contract import load_contract
from insertion_vla_policy.ema import Ema
from insertion_vla_policy.inputs import InputSpec, input_spec
from insertion_vla_policy.model import build_model, parameter_count
from insertion_vla_policy.model_config import DecoderConfig, VlaConfig
from insertion_vla_policy.normalizer import Normalizer
from insertion_vla_training.trainer.objective import Objective, rows_of, step_draws
from insertion_vla_training.trainer.optimizer import make_optimizer
from insertion_vla_training.trainer.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
BOUNDS = {"nano": 400.0, "small": 60.0}
TOKENS, TOKEN_DIM = 9, 38  # of tiny_vl on three views
CPU = torch.device("cpu")


class Stopwatch:
    """CPU time by part."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = defaultdict(float)
        self._last = time.process_time()

    def lap(self, part: str) -> None:
        """The time since the last call belongs to this part."""
        now = time.process_time()
        self.parts[part] += now - self._last
        self._last = now


def random_batch(spec: InputSpec, size: int) -> dict[str, torch.Tensor]:
    """Samples with every input there."""
    batch = {
        name: torch.ones((size, *shape), dtype=torch.bool) if name.endswith("_mask") else torch.randn(size, *shape)
        for name, shape in spec.shapes().items()
    }
    return {**batch, "action": torch.randn(size, 8, 7)}


def measure(size: str, expert: str, batch_size: int, steps: int) -> dict:
    """Figures of one kind of model."""
    spec = input_spec(load_contract(ROOT / "config" / "contracts" / "insertion.yaml"), TOKENS, TOKEN_DIM)
    torch.manual_seed(0)
    model = build_model(VlaConfig(expert=expert, inputs=spec, decoder=DecoderConfig(size=size)))
    ones = {name: torch.ones(shape) for name, shape in spec.shapes().items() if not name.endswith("_mask")}
    ones["action"] = torch.ones(8, 7)
    objective = Objective(model, Normalizer({name: 0.0 * one for name, one in ones.items()}, ones)).train()
    optimizer, ema = make_optimizer(objective, TrainSettings()), Ema(objective)
    batches = [random_batch(spec, batch_size) for _ in range(4)]
    for step in range(steps + 2):
        if step == 2:  # the first ones allocate
            watch, started_s = Stopwatch(), time.process_time()
        draws = rows_of(step_draws(model, 0, step, batch_size), 0, batch_size, 1, CPU)
        loss = objective(batches[step % 4], draws).per_sample.mean()
        if step >= 2:
            watch.lap("forward")
        loss.backward()
        if step >= 2:
            watch.lap("backward")
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(objective)
        if step >= 2:
            watch.lap("optimiser")
    spent_s = time.process_time() - started_s
    return {
        "size": size,
        "expert": expert,
        "parameters_M": round(parameter_count(objective) / 1e6, 2),
        "samples_per_s_core": round(steps * batch_size / spent_s, 1),
        "ms_per_step": {name: round(1e3 * part / steps, 1) for name, part in watch.parts.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["nano", "small"], choices=("nano", "small", "base", "large"))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="timed ones")
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    given = parser.parse_args()
    if min(given.batch_size, given.steps) < 1:
        parser.error("expected --batch-size and --steps of at least 1")
    torch.set_num_threads(1)
    rows, missed = [], False
    print("| size | expert | parameters [M] | samples/s/core | bound | forward + backward + optimiser [ms per step] |")
    print("|---|---|---|---|---|---|")
    for size in given.sizes:
        for expert in ("regression", "diffusion"):
            row = measure(size, expert, given.batch_size, given.steps)
            rows.append(row)
            bound = BOUNDS.get(size)
            missed |= bound is not None and row["samples_per_s_core"] < bound
            parts = " + ".join(str(part) for part in row["ms_per_step"].values())
            print(
                f"| {size} | {expert} | {row['parameters_M']} | {row['samples_per_s_core']:.0f} | "
                f"{'' if bound is None else f'{bound:.0f}'} | {parts} |",
                flush=True,
            )
    if given.output:
        given.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
