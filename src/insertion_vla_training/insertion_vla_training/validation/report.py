"""The verdict over a policy on validation episodes: figures as JSON, sentences, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_policy.model import Model
from insertion_vla_policy.normalizer import Normalizer

from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.stores.episode_index import write_json
from insertion_vla_training.trainer.contact import AUX, NEAR
from insertion_vla_training.trainer.state_set import StateSet
from insertion_vla_training.validation.baselines import constant_twist
from insertion_vla_training.validation.errors import calibration, summary
from insertion_vla_training.validation.predict import predict, spread_out
from insertion_vla_training.validation.state import state_report

Report = dict[str, Any]
BASELINES = ("zero_action", "constant_twist")
REPORT_FILE = "validation.json"


def report_on(
    model: Model,
    normalizer: Normalizer,
    samples: TrainingSet | StateSet,
    most: int = 512,
    draws: int = 8,
    steps: int = 10,
    seed: int = 0,
) -> Report:
    """Measure a model on a set; arguments as `predict`, `most` samples spread evenly over it."""
    indices = spread_out(len(samples), most)
    drawn, labels, rows = predict(model, normalizer, samples, indices, draws, steps, seed)
    if isinstance(samples, StateSet):
        return state_report(samples, indices, drawn, labels, rows)
    predictors = {
        "policy": drawn[0],
        "zero_action": np.zeros_like(labels),
        "constant_twist": constant_twist(samples, indices),
    }
    contact = labels[:, 0, AUX] >= NEAR
    regions = {"all": np.ones(len(labels), bool), "contact": contact, "free": ~contact}
    report: Report = {"samples": len(indices), "of": len(samples), "unit": ["mm", "deg"]}
    for region, mask in regions.items():
        report[region] = {"samples": int(mask.sum())} | {
            name: summary(actions[mask], labels[mask]) for name, actions in predictors.items() if mask.any()
        }
    report["beats"] = {
        name: all(report["all"]["policy"][key] < report["all"][name][key] for key in ("position_mm", "rotation_deg"))
        for name in BASELINES
    }
    if len(drawn) > 1:
        report["calibration"] = calibration(drawn, labels)
    return report


def beats_all(report: Report) -> bool:
    """Whether the policy is better than every baseline."""
    return all(report["beats"].values())


def verdict(report: Report) -> str:
    """One sentence."""
    lost = [name.replace("_", " ") for name, better in report["beats"].items() if not better]
    if lost:
        return f"DOES NOT BEAT {' and '.join(lost)} on validation episodes: do not run it on a robot"
    return f"beats {' and '.join(name.replace('_', ' ') for name in report['beats'])} on validation episodes"


def table(report: Report) -> list[str]:
    """Lines of a Markdown table."""
    if "channels" in report:
        names = ("policy", *report["beats"])
        lines = ["| predictor | mean absolute error, normalised |", "|---|---|"]
        return [*lines, *(f"| {name.replace('_', ' ')} | {report[name]['error']:.4f} |" for name in names)]
    lines = ["| where | predictor | position [mm] | at the end [mm] | rotation [deg] |", "|---|---|---|---|---|"]
    for region in ("all", "contact", "free"):
        for name in ("policy", *BASELINES):
            if name in report[region]:
                s = report[region][name]
                lines.append(
                    f"| {region} ({report[region]['samples']}) | {name.replace('_', ' ')} | {s['position_mm']:.3f} | "
                    f"{s['end_position_mm']:.3f} | {s['rotation_deg']:.3f} |"
                )
    return lines


def calibration_line(report: Report) -> str:
    """What the calibration says; empty without draws."""
    found = report.get("calibration")
    if not found:
        return ""
    return (
        f"{found['draws']} draws are {found['spread_mm']:.3f} mm apart where their mean is {found['error_mm']:.3f} mm "
        f"off (ratio {found['error_over_spread']:.2f}, 1 is calibrated); {100 * found['coverage']:.0f} % of the labels "
        f"lie between them, {100 * found['coverage_expected']:.0f} % would"
    )


def write_report(report: Report, folder: Path) -> None:
    """validation.json and validation.png in a folder."""
    from insertion_vla_training.validation.plots import plot_report

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / REPORT_FILE, report)
    plot_report(report, folder / "validation.png")


def markdown(report: Report, more: Sequence[str] = ()) -> str:
    """A section for a model card."""
    lines = ["## Offline validation", "", f"The policy {verdict(report)}.", "", *table(report), ""]
    line = calibration_line(report)
    return "\n".join([*lines, *([f"Calibration: {line}.", ""] if line else []), *more])


def headline(report: Report) -> Mapping[str, float]:
    """The figures for trackers."""
    if "channels" in report:
        return {"val/action_error": report["policy"]["error"]}
    policy = report["all"]["policy"]
    found = {
        "val/position_mm": policy["position_mm"],
        "val/end_position_mm": policy["end_position_mm"],
        "val/rotation_deg": policy["rotation_deg"],
        "val/beats_baselines": float(beats_all(report)),
    }
    if "calibration" in report:
        found["val/error_over_spread"] = report["calibration"]["error_over_spread"]
    return found
