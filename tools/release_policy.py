#!/usr/bin/env python3
"""A trained checkpoint as it is shipped: the averaged weights alone, and a card with its data, results and limits."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from insertion_vla_policy.checkpoint import load_checkpoint, save_checkpoint
from insertion_vla_policy.model_card import CARD

LIMITS = """## Limits

Trained in simulation alone, on this bench, its three trocars (red, green, blue) and its cameras: a real bench needs
recordings of its own. It must be given the camera calibration, since it is told where the named trocar is in space,
and finds it only as well as the cameras stand where the calibration says. It stops where the needle feels the
membrane: with force and A-line missing it is not to be used. The gate beside the arm holds the limits of force, not
this policy."""


def release(checkpoint: Path, target: Path, recipe: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> None:
    """Write the shipped form of a checkpoint.

    Args:
        checkpoint: folder that `train` wrote.
        target: folder to write; its name is the policy's name in the comparison.
        recipe: config/train_demo.yaml.
        comparison: content of comparison.json; None while there is none.
    """
    trained, backbone = load_checkpoint(checkpoint), checkpoint / "backbone"
    offline = re.search(r"## Offline validation\n.*?(?=\n## )", (checkpoint / CARD).read_text("utf-8"), re.DOTALL)
    notes = [_data(recipe, trained.config.model.expert), offline.group(0).strip() if offline else ""]
    notes += [_closed_loop(comparison, target.name) if comparison else "", LIMITS]
    # Names of the stores, not where they lay on the machine that trained.
    stores = ", ".join(Path(store).name for store in str(trained.config.training["stores"]).split(", "))
    config = trained.config.model_copy(update={"training": {**trained.config.training, "stores": stores}})
    save_checkpoint(
        target,
        config,
        trained.model.state_dict(),
        trained.normalizer,
        (checkpoint / "contract.yaml").read_text(encoding="utf-8"),
        notes="\n\n".join(filter(None, notes)),
        backbone=backbone if backbone.is_dir() else None,
    )


def _data(recipe: Mapping[str, Any], expert: str) -> str:
    collect, steps = recipe["collect"], recipe[expert]["optim.steps"]
    last = collect["seed"] + collect["episodes"] - 1
    return f"""## Data

{collect["episodes"]} simulated episodes of the scripted expert, seeds {collect["seed"]} to {last} of the training
scenes, by `make train-demo` (config/train_demo.yaml): {steps} steps. The weights are the running average of the
training."""


def _closed_loop(comparison: Mapping[str, Any], name: str) -> str:
    lines = [
        "## In closed loop",
        "",
        f"On unseen seeds ({comparison['seeds'][0]} and on), in lock-step, by `compare`; intervals are Wilson's, 95 %.",
        "",
        "| condition | success | wrong trocar | path error [mm] | peak force [N] |",
        "|---|---|---|---|---|",
    ]
    for row in comparison["rows"]:
        if row["policy"] == name:
            success, path = row["success"], row["path_median_mm"]
            lines.append(
                f"| {' '.join(filter(None, (row['sweep'], row['value'])))} | {success['count']} of {success['of']} "
                f"({100 * success['low']:.1f} to {100 * success['high']:.1f} %) | {row['wrong_target']['count']} | "
                f"{'' if path is None else format(path, '.2f')} | {row['peak_force_n']:.2f} |"
            )
    return "\n".join(lines)


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--comparison", type=Path, help="comparison.json of `compare`")
    parser.add_argument("--config", type=Path, default=root / "config" / "train_demo.yaml", help="the recipe")
    given = parser.parse_args()
    comparison = json.loads(given.comparison.read_text()) if given.comparison else None
    release(given.checkpoint, given.target, yaml.safe_load(given.config.read_text()), comparison)
    return 0


if __name__ == "__main__":
    sys.exit(main())
