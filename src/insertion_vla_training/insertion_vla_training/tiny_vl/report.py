"""How good a `tiny_vl` is, measured through the code that runs on the robot, and the model folder with its card."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from insertion_vla_core.calibration import load_calibration
from insertion_vla_core.geometry import Pose, matrix_from_quaternion
from insertion_vla_policy.backbones.tiny_net import TinyNet
from insertion_vla_policy.backbones.tiny_vl import load_tiny_vl
from insertion_vla_policy.experts.trocar_estimate import TrocarEstimate
from insertion_vla_policy.protocol import Image
from safetensors.torch import save_file

from insertion_vla_sim import scene
from insertion_vla_training.cli.progress import progress_over
from insertion_vla_training.tiny_vl.set import VIEWS, KeypointSet

FOUND = 0.5  # confidence from which a key point counts as found
UNKNOWN = ("insert the needle into the purple trocar", "yellow", "insert the needle", "the trocar on the left")


def measure(folder: Path, frames: KeypointSet, calibration: Path) -> dict[str, float]:
    """Figures of a model on frame sets; see `card` for what they mean."""
    backbone, views = load_tiny_vl(folder), load_calibration(calibration)
    size = np.array([scene.IMAGE_WIDTH, scene.IMAGE_HEIGHT])
    errors: dict[tuple[str, int], list[float]] = {(view, kind): [] for view in scene.VIEWS for kind in range(2)}
    found, wrong, false_alarms, mouths, axes, times = [], [], [], [], [], []
    for index in progress_over(range(len(frames)), "measure", unit="set"):
        images = [Image(view, index + 1, frames.picture(index, v)) for v, view in enumerate(scene.VIEWS)]
        pose = frames.flange[index]
        flange = Pose(pose[:3], matrix_from_quaternion(pose[3:]))
        for c, colour in enumerate(scene.COLOURS):
            features = backbone.encode(images, f"insert the needle into the {colour} trocar")
            times.append(features.inference_s)
            tokens = features.tokens.reshape(VIEWS, 3, -1)
            pixels = tokens[:, :2, 2:4] * size - 0.5
            sure = tokens[:, :2, 4] >= FOUND
            away = np.linalg.norm(pixels - frames.pixels[index, :, c], axis=-1)
            for v, view in enumerate(scene.VIEWS):
                for kind in np.flatnonzero(frames.seen[index, v, c]):
                    found.append(bool(sure[v, kind]))
                    errors[view, int(kind)].append(float(away[v, kind]))
                if sure[v, 0] and frames.seen[index, v, c, 0]:
                    to_all = np.linalg.norm(pixels[v, 0] - frames.pixels[index, v, :, 0], axis=-1)
                    wrong.append(int(np.nanargmin(to_all)) != c)
            estimate = TrocarEstimate(views, memory=1)
            if estimate.update(features, lambda stamp_ns, flange=flange: flange):
                true = frames.tubes[index, c]
                mouths.append(1e3 * float(np.linalg.norm(estimate.mouth - true[:3])))
                axes.append(float(np.degrees(np.arccos(np.clip(estimate.axis @ true[3:], -1.0, 1.0)))))
        nothing = backbone.encode(images, UNKNOWN[index % len(UNKNOWN)]).tokens.reshape(VIEWS, 3, -1)
        false_alarms += (nothing[:, :2, 4] >= FOUND).ravel().tolist()
    figures = {}
    for (view, kind), values in errors.items():
        name = f"{view} {('mouth', 'rear ring')[kind]}"
        figures[f"{name}: error [px], median"] = _quantile(values, 0.5)
        figures[f"{name}: error [px], 95 %"] = _quantile(values, 0.95)
    return figures | {
        "key points in plain view that are found [%]": _percent(found),
        "mouths on a wrong trocar [%]": _percent(wrong),
        "false alarms when no trocar is named [%]": _percent(false_alarms),
        "sets that give a tube [%]": 100.0 * len(mouths) / (len(frames) * len(scene.COLOURS)),
        "mouth in space [mm], median": _quantile(mouths, 0.5),
        "mouth in space [mm], 95 %": _quantile(mouths, 0.95),
        "axis [deg], median": _quantile(axes, 0.5),
        "axis [deg], 95 %": _quantile(axes, 0.95),
        "time for one set, three views, on one core [ms], fastest": 1e3 * min(times),
    }


def _percent(cases: list[bool]) -> float:
    return 100.0 * statistics.fmean(cases) if cases else float("nan")


def _quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share)) if values else float("nan")


def write_model(
    folder: Path,
    net: TinyNet,
    figures: Mapping[str, Mapping[str, float]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Writes the model folder, half-precision weights; returns the card, which is written when there are figures."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in net.state_dict().items()
    }
    weights = folder / "model.safetensors"
    save_file(half, weights, {"format": "pt"})
    config = {
        "backbone": "tiny_vl",
        "views": list(scene.VIEWS),
        "width": scene.IMAGE_WIDTH,
        "height": scene.IMAGE_HEIGHT,
        "network": {"width": net.config.width, "stages": list(net.config.stages)},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if figures is None or settings is None:
        return ""
    parameters = sum(parameter.numel() for parameter in net.parameters())
    text = card(figures, settings, parameters, weights.stat().st_size, hashlib.sha256(weights.read_bytes()).hexdigest())
    (folder / "MODEL_CARD.md").write_text(text)
    return text


def card(
    figures: Mapping[str, Mapping[str, float]],
    settings: Mapping[str, Any],
    parameters: int,
    size: int,
    sha256: str,
) -> str:
    """MODEL_CARD.md."""
    flags = " ".join(f"--{name} {settings[name]}" for name in ("sets", "steps", "batch", "rate", "seed", "precision"))
    kinds = list(figures)
    table = [f"| {name} | {' | '.join(f'{figures[kind][name]:.2f}' for kind in kinds)} |" for name in figures[kinds[0]]]
    return f"""# tiny_vl

Finds the mouth and the rear ring of the trocar that an instruction names, in the views
{", ".join(scene.VIEWS)} of the simulated bench ({scene.IMAGE_WIDTH}x{scene.IMAGE_HEIGHT} pixels).

- {parameters:,} parameters, {size / 1e6:.2f} MB, half precision; model.safetensors sha256 `{sha256}`.
- Trained on {settings["sets"]:,} frame sets ({settings["sets"] * VIEWS:,} pictures) of the simulation, seeds 0 to
  {settings["sets"] - 1} of its training set, by `train_tiny_vl {flags}` with torch {torch.__version__.split("+")[0]}.
- Written on {time.strftime("%Y-%m-%d", time.gmtime())}.

## Measured

{settings["validate"]} sets each, with every colour named in turn; through `load_tiny_vl(...).encode` on JPEGs as the
cameras send them. Pixel errors count key points in plain view, whatever the confidence. "In space" is the fit of
`visual_servo` to one set's tokens and the nominal calibration. In the held-out scenes the static cameras stand up to
4 mm from where the calibration says, which no backbone can know: the errors in space include that.

| | {" | ".join(kinds)} |
|---|{"---|" * len(kinds)}
{chr(10).join(table)}

## Limits

Trained on simulated pictures only; a real bench needs its own pictures and key points. It knows the colours
{", ".join(scene.COLOURS)} by their English names. A sentence that names none or two of them gives low confidence;
negations ("not the red one") are not understood. Tubes of equal colour are not told apart.
"""
