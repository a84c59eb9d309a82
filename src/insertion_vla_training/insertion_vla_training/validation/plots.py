"""Pictures of a validation: errors along the horizon against the baselines, per axis, near contact, and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from insertion_vla_training.validation.errors import AXES

COLOURS = {"policy": "tab:blue", "zero_action": "tab:gray", "constant_twist": "tab:orange"}
STEP_S = 0.1


def plot_report(report: dict[str, Any], path: Path) -> None:
    """One PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if "channels" in report:
        _plot_state(report, path)
        return
    figure = Figure(figsize=(12.0, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    _along_horizon(axes[0, 0], report, "position_step_mm", "position error [mm]")
    _along_horizon(axes[1, 0], report, "rotation_step_deg", "rotation error [deg]")
    _per_axis(axes[0, 1], report, "position_axis_mm", "position error by axis [mm]")
    _per_axis(axes[1, 1], report, "rotation_axis_deg", "rotation error by axis [deg]")
    _regions(axes[0, 2], report)
    _calibration(axes[1, 2], report)
    figure.suptitle(f"{report['samples']} validation samples")
    figure.savefig(path, dpi=110)


def _along_horizon(axes: Any, report: dict[str, Any], key: str, label: str) -> None:
    for name, colour in COLOURS.items():
        values = report["all"][name][key]
        times = STEP_S * (np.arange(len(values)) + 1)
        axes.plot(times, values, color=colour, marker="o", markersize=3, label=name.replace("_", " "))
    axes.set(xlabel="time ahead [s]", ylabel=label, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()


def _per_axis(axes: Any, report: dict[str, Any], key: str, label: str) -> None:
    values = np.array(report["all"]["policy"][key])
    times = STEP_S * (np.arange(len(values)) + 1)
    for column, axis in enumerate(AXES):
        axes.plot(times, values[:, column], marker="o", markersize=3, label=axis)
    axes.set(xlabel="time ahead [s]", ylabel=label, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()


def _regions(axes: Any, report: dict[str, Any]) -> None:
    regions = [region for region in ("all", "contact", "free") if "policy" in report[region]]
    width = 0.27
    for number, (name, colour) in enumerate(COLOURS.items()):
        values = [report[region][name]["position_mm"] for region in regions]
        axes.bar(
            np.arange(len(regions)) + (number - 1) * width, values, width, color=colour, label=name.replace("_", " ")
        )
    labels = [f"{region}\n({report[region]['samples']})" for region in regions]
    axes.set_xticks(np.arange(len(regions)), labels)
    axes.set(ylabel="position error [mm]", title="near contact and in free space")
    axes.legend()


def _calibration(axes: Any, report: dict[str, Any]) -> None:
    found = report.get("calibration")
    if not found:
        axes.text(0.5, 0.5, "one chunk per observation:\nno calibration", ha="center", va="center")
        axes.set_axis_off()
        return
    spread = [group["spread_mm"] for group in found["bins"]]
    error = [group["error_mm"] for group in found["bins"]]
    most = 1.05 * max(*spread, *error)
    axes.plot([0, most], [0, most], color="tab:gray", linestyle="--", label="calibrated")
    axes.plot(spread, error, marker="o", color="tab:blue", label=f"{found['draws']} draws")
    axes.set(xlabel="spread of the draws [mm]", ylabel="error of their mean [mm]", title="calibration, last position")
    axes.grid(alpha=0.3)
    axes.legend()


def _plot_state(report: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = ("policy", *report["beats"])
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        values = report[name]["channel_error"]
        axes.bar(np.arange(len(values)) + number * width, values, width, label=name)
    axes.set(xlabel="channel of the action", ylabel="mean absolute error", title=f"{report['samples']} samples")
    axes.legend()
    figure.savefig(path, dpi=110)
