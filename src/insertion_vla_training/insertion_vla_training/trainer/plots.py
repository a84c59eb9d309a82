"""Curves of a run as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS = (
    ("loss", ("train/loss_step", "val/loss_epoch"), True),
    ("learning rate", ("train/lr",), False),
    ("norm of the gradient", ("train/grad_norm",), True),
    ("validation error [mm], [deg]", ("val/position_mm", "val/rotation_deg"), False),
)


def plot_run(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss, rate, gradient and validation error over the steps."""
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, names, logarithmic) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        drawn = [name for name in names if _draw(axes, rows, name)]
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if logarithmic and drawn:
            axes.set_yscale("log")
        if drawn:
            axes.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw(axes: Any, rows: Sequence[dict[str, Any]], name: str) -> bool:
    points = np.array([(row["step"], row[name]) for row in rows if name in row])
    if len(points):
        axes.plot(points[:, 0], points[:, 1], marker="o" if len(points) < 40 else "", markersize=3, label=name)
    return len(points) > 0
