"""comparison.png: success of every policy, and what each hardship costs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_policy.run_options import RunOptions
from matplotlib.axes import Axes

from insertion_vla_training.evaluation.variants import AS_IS, SWEEPS
from insertion_vla_training.inspection.style import QUIET, SERIES, figure, save, styled

WIDTH_PX, PANEL_PX, COLUMNS = 1200, 330, 3
MARKS = {"blend": "o-", "newest": "s--", "ensemble": "^:", "guided": "D-."}  # of the modes of execution
CURVES = {"steps": "steps", "delay": "ms", "age": "ms"}
TITLES = {
    AS_IS: "Success [%], Wilson 95 % interval",
    **{name: words[0].upper() + words[1:] for name, words in SWEEPS.items()},
}


def draw_comparison(comparison: dict[str, Any], path: Path) -> None:
    """One PNG with a panel per sweep."""
    rows = comparison["rows"]
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    colours = {policy: SERIES[at % len(SERIES)] for at, policy in enumerate(policies)}
    sweeps = [name for name in (AS_IS, *SWEEPS) if any(row["sweep"] == name for row in rows)]
    lines = -(-len(sweeps) // COLUMNS)
    with styled():
        drawn = figure(WIDTH_PX, PANEL_PX * lines)
        panels = np.atleast_1d(drawn.subplots(lines, min(COLUMNS, len(sweeps)), squeeze=False).ravel())
        drawn.subplots_adjust(left=0.06, right=0.98, top=1 - 0.1 / lines, bottom=0.16 / lines, hspace=0.45, wspace=0.25)
        for axes, sweep in zip(panels, sweeps, strict=False):
            found = [row for row in rows if row["sweep"] == sweep]
            if sweep in CURVES:
                _curves(axes, sweep, found, [row for row in rows if row["sweep"] == AS_IS], colours)
            elif sweep == "execution":
                _modes(axes, found, colours)
            else:
                _bars(axes, found, colours)
            axes.set_title(TITLES[sweep])
            axes.set_ylim(0.0, 105.0)
        for axes in panels[len(sweeps) :]:
            axes.set_axis_off()
        save(drawn, path)


def _bars(axes: Axes, rows: list[dict[str, Any]], colours: dict[str, str]) -> None:
    # No legend: it would lie on the bars, and the policies as they are, the first panel, stand under their names.
    labels = [row["value"] or "" for row in rows]
    for place, row in enumerate(rows):
        share = row["success"]
        height = 100 * share["share"]
        axes.bar(place, height, color=colours[row["policy"]], width=0.65)
        bounds = np.clip([[height - 100 * share["low"]], [100 * share["high"] - height]], 0.0, None)
        axes.errorbar(place, height, bounds, color=QUIET, capsize=3, lw=1.1)
        axes.annotate(
            f"{share['count']}/{share['of']}", (place, height), (0, 3), textcoords="offset points", fontsize=7
        )
    names = [label or row["policy"] for label, row in zip(labels, rows, strict=True)]
    axes.set_xticks(range(len(rows)), names, rotation=20, ha="right")


def _modes(axes: Axes, rows: list[dict[str, Any]], colours: dict[str, str]) -> None:
    """Success over the delay, every policy and mode a little aside so that equal ones are all seen."""
    lines: dict[tuple[str, str], list[tuple[float, dict[str, float]]]] = {}
    for row in rows:
        mode, late = row["value"].removesuffix(" ms late").split(", ")
        lines.setdefault((row["policy"], mode), []).append((float(late), row["success"]))
    for place, ((policy, mode), points) in enumerate(lines.items()):
        x = [late + 12.0 * (place - (len(lines) - 1) / 2) for late, _ in points]
        y = np.array([100 * share["share"] for _, share in points])
        low, high = (np.array([100 * share[name] for _, share in points]) for name in ("low", "high"))
        bounds = np.clip([y - low, high - y], 0.0, None)
        label = f"{policy}, {mode}"
        axes.errorbar(x, y, bounds, fmt=MARKS[mode], ms=4, lw=1.1, elinewidth=0.7, color=colours[policy], label=label)
    axes.set_xlabel("ms")
    axes.legend(loc="lower left", fontsize=6, ncols=2)


def _curves(
    axes: Axes, sweep: str, rows: list[dict[str, Any]], as_is: list[dict[str, Any]], colours: dict[str, str]
) -> None:
    for policy in dict.fromkeys(row["policy"] for row in rows):
        own = [(float(row["value"]), row["success"]) for row in rows if row["policy"] == policy]
        base = next(row["success"] for row in as_is if row["policy"] == policy)
        usual = float(RunOptions().steps) if sweep == "steps" else 0.0
        own = sorted([*own, (usual, base)], key=lambda point: point[0])
        x = [value for value, _ in own]
        axes.plot(x, [100 * share["share"] for _, share in own], "o-", ms=4, color=colours[policy], label=policy)
        bounds = [[100 * share[name] for _, share in own] for name in ("low", "high")]
        axes.fill_between(x, *bounds, color=colours[policy], alpha=0.12, lw=0)
    if sweep == "steps":
        axes.set_xscale("log")
    axes.set_xlabel(CURVES[sweep])
    axes.legend(loc="lower left")
