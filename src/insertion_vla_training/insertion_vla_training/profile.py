"""`profile`: how long a checkpoint takes for a chunk, by back end and number of sampling steps, and what to choose.

Times are of the whole call, inputs included, on made-up observations of the checkpoint's own contract. OUT gets
latency.csv, latency.json and latency.png; the exit code is 1 where nothing is within the budget.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from insertion_vla_core.calibration import load_calibration
from insertion_vla_policy.registry import SHIPPED, checkpoint_folder, policy_names
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_sim.config import find_config

from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.cli.verb import Parser, run_verb

BACKENDS = get_args(RunOptions.model_fields["backend"].annotation)
STEPS = (1, 2, 4, 10, 20, 50, 100)
OBSERVATIONS = 200  # so that the p99 of building them is not the worst of them
EXIT_TOO_SLOW = 1


def _work(given: argparse.Namespace) -> int:
    _check(given)
    # Loaded late: --help and refusals need no torch.
    from insertion_vla_policy.checkpoint import load_checkpoint
    from insertion_vla_policy.experts.noise import make_sampler
    from insertion_vla_policy.model_config import VlaConfig

    from insertion_vla_training.profiling.budget import budget
    from insertion_vla_training.profiling.measure import Row, Unavailable, made_up, measure
    from insertion_vla_training.profiling.observations import Scene
    from insertion_vla_training.profiling.report import Profile, lines, write_profile

    folder = checkpoint_folder(given.checkpoint)
    if folder is None:
        known = given.checkpoint in policy_names()
        why = "has no steps and no back ends to choose; evaluate times it" if known else "is none: check the path"
        raise ValueError(
            f"expected --checkpoint of {', '.join(SHIPPED)} or the path of a checkpoint's folder, '{given.checkpoint}' "
            f"{why}"
        )
    checkpoint = load_checkpoint(folder)
    config = checkpoint.config.model
    if not isinstance(config, VlaConfig) or checkpoint.contract is None:
        raise ValueError(f"expected a policy on observations in {folder}, got a state policy")
    steps = sorted(set(given.steps)) if config.expert == "diffusion" else [1]
    for count in steps:
        make_sampler(config.diffusion, count)  # refuses more than the training had
    calibration = None
    if config.inputs.target:
        calibration = str((given.config or find_config()) / "calibration" / "sim.yaml")
    scene = Scene(
        checkpoint.contract, config.inputs, checkpoint.config.backbone,
        load_calibration(calibration) if calibration else None,
    )  # fmt: skip
    observations, observe_ms = made_up(scene, OBSERVATIONS)
    allowed = budget(observe_ms, given.budget_ms)
    rows: list[Row] = []
    unavailable: list[Unavailable] = []
    with Progress("profile", len(given.backends) * len(steps) * given.repeats, "call") as progress:
        for backend in given.backends:
            device = "cuda" if backend == "cuda_graph" else given.device
            options = RunOptions(backend=backend, device=device, threads=given.threads)
            for found in measure(
                checkpoint, calibration, options, steps, observations, given.repeats, progress.advance
            ):
                if isinstance(found, Row):
                    rows.append(found)
                else:
                    unavailable.append(found)
    policy = f"{config.expert}-{config.decoder.size}-{checkpoint.sha256[:12]}"
    profile = Profile(given.checkpoint, policy, config.expert, given.threads, allowed, tuple(rows), tuple(unavailable))
    write_profile(profile, given.out)
    print("\n".join(lines(profile)))
    print(f"the figures are in {given.out}")
    return 0 if profile.best else EXIT_TOO_SLOW


def _check(given: argparse.Namespace) -> None:
    if min(given.steps) < 1 or given.repeats < 1 or given.threads < 0:
        raise ValueError(
            f"expected --steps and --repeats of at least 1 and --threads of at least 0, got {min(given.steps)}, "
            f"{given.repeats} and {given.threads}"
        )
    if given.budget_ms is not None and not 0.0 < given.budget_ms <= 1e6:
        raise ValueError(f"expected --budget-ms above 0, got {given.budget_ms:g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("profile", "Time a checkpoint over sampling steps and back ends, and say what to choose.")
    parser.add_argument("--checkpoint", required=True, help=f"folder of the policy, or {' or '.join(SHIPPED)}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures; made if there is none")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help=f"of sampling ({_listed(STEPS)})")
    parser.add_argument(
        "--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS), help="what computes (all of them)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where; a CUDA graph needs cuda (cpu)")
    parser.add_argument("--repeats", type=int, default=200, help="timed calls of each (200)")
    parser.add_argument("--threads", type=int, default=1, help="of torch, as run.threads of the node (1); 0: its own")
    parser.add_argument(
        "--budget-ms", type=float, help="most for p99 (100 ms less what the graph needs of them; it is printed)"
    )
    parser.add_argument("--config", type=Path, help="folder with calibration/")
    return run_verb(parser, _work, arguments)


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


if __name__ == "__main__":
    sys.exit(main())
