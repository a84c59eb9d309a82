"""`validate`: a policy's folder against the validation episodes of stores, and against standing still and going on.

Errors in mm and degrees per axis and step, near contact and in free space, and for a diffusion expert whether the
spread of its draws says how far off it is. Writes validation.json and validation.png; the exit code is 1 if a baseline
is better.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from insertion_vla_core.contract import contract_hash
from insertion_vla_policy.checkpoint import Checkpoint, check_live_contract, load_checkpoint
from insertion_vla_policy.model_config import StateDiffusionConfig, VlaConfig

from insertion_vla_training.caching.features import FeatureCache
from insertion_vla_training.caching.index import FEATURES, cache_root
from insertion_vla_training.caching.key import find_keys
from insertion_vla_training.cli.verb import Parser, run_verb
from insertion_vla_training.datasets.ages import FeatureAges
from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.stores.store import Store
from insertion_vla_training.trainer.state_set import StateSet
from insertion_vla_training.validation.report import (
    beats_all,
    calibration_line,
    report_on,
    table,
    verdict,
    write_report,
)


def samples_for(
    checkpoint: Checkpoint,
    sources: list[DataSource],
    split: str,
    ages: FeatureAges,
    calibration: Path | None = None,
) -> TrainingSet | StateSet:
    """The samples of stores as a policy sees them.

    Raises:
        ValueError: the stores have another contract, or no features of its backbone.
    """
    model = checkpoint.config.model
    if isinstance(model, StateDiffusionConfig):
        states = StateSet(sources, split, model.n_obs_steps, model.horizon)
        sizes = states.states.shape[1], states.actions.shape[1]
        if sizes != (model.state_dim, model.action_dim):
            raise ValueError(
                f"expected states of {model.state_dim} and actions of {model.action_dim} numbers, the stores have "
                f"{sizes[0]} and {sizes[1]}: name stores of the contract that {checkpoint.folder} was trained on"
            )
        return states
    assert isinstance(model, VlaConfig)
    for source in sources:
        check_live_contract(checkpoint, Store.open(source.store).contract)
    return TrainingSet(sources, split, _features(checkpoint, sources[0]), ages, model.inputs, (), calibration)


def _features(checkpoint: Checkpoint, source: DataSource) -> str | None:
    backbone = checkpoint.config.backbone
    if backbone is None:
        return None
    root = cache_root(Store.open(source.store).path, source.cache) / FEATURES
    keys = {folder.name: FeatureCache(folder).key for folder in find_keys(root)}
    for name, key in keys.items():
        if (key.model_id, key.model_hash) == (backbone.model_id, backbone.model_hash):
            return name
    raise ValueError(
        f"expected features of the backbone '{backbone.model_id}' {backbone.model_hash} of {checkpoint.folder} in "
        f"{root}, there are {', '.join(keys) or 'none'}: compute them with: cache build {source.store}"
    )


def _work(given: argparse.Namespace) -> int:
    torch.set_num_threads(given.threads)
    if min(given.samples, given.draws, given.steps) < 1:
        raise ValueError("expected --samples, --draws and --steps of at least 1")
    checkpoint = load_checkpoint(given.checkpoint)
    sources = [DataSource(store=str(store), label=given.label, cache=given.cache) for store in given.stores]
    samples = samples_for(checkpoint, sources, given.split, FeatureAges(source=given.ages), given.calibration)
    report = report_on(
        checkpoint.model, checkpoint.normalizer, samples, given.samples, given.draws, given.steps, given.seed
    )
    stores = [{"store": str(store), "contract": contract_hash(Store.open(store).contract)} for store in given.stores]
    report |= {"checkpoint": str(given.checkpoint), "sha256": checkpoint.sha256, "split": given.split, "stores": stores}
    out = given.out or given.checkpoint.parent / f"{given.checkpoint.name}-validation"
    write_report(report, out)
    print("\n".join(table(report)))
    if line := calibration_line(report):
        print(line)
    print(f"{given.checkpoint} {verdict(report)}; figures and pictures are in {out}")
    return 0 if beats_all(report) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("validate", "Measure a policy on recorded validation episodes, against baselines.")
    parser.add_argument("checkpoint", type=Path, help="folder of the policy")
    parser.add_argument("stores", type=Path, nargs="+", help="folders of the stores")
    parser.add_argument("--split", choices=("val", "train"), default="val", help="episodes to measure on (val)")
    parser.add_argument("--samples", type=int, default=1024, help="ticks, spread evenly over the episodes (1024)")
    parser.add_argument("--draws", type=int, default=8, help="chunks that a diffusion expert draws per tick (8)")
    parser.add_argument("--steps", type=int, default=10, help="of its sampling (10)")
    parser.add_argument("--label", choices=("chunks", "commands"), default="chunks", help="source of labels (chunks)")
    parser.add_argument("--ages", choices=("recorded", "uniform"), default="recorded", help="of features (recorded)")
    parser.add_argument("--calibration", type=Path, help="file of the cameras, for a policy that is told the target")
    parser.add_argument("--cache", help="folder of the caches (STORE/cache)")
    parser.add_argument("--out", type=Path, help="folder for the report (beside the policy)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (1)")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
