"""distributions.png: how values are spread over all logs; timeline.png: one bag over its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from insertion_vla_core.strict_yaml import StrictModel
from matplotlib.axes import Axes

from insertion_vla_training.analysis.metrics import METRICS, Event, Measured, Values
from insertion_vla_training.inspection.style import BAD, PALE, QUIET, SERIES, figure, save, styled, time_axis

PANELS = ("action_time_ms", "vlm_time_ms", "chunk_interval_ms", "features_interval_ms", "features_age_ms", "reuse")
ROWS = ("action_time_ms", "vlm_time_ms", "chunk_interval_ms", "features_age_ms", "force_n")
COLUMNS, WIDTH_PX, PANEL_PX, ROW_PX, BINS = 3, 1200, 300, 150, 30
MARGIN_PX = 66
SHOWN_POINTS = 4000  # of a curve: more than the picture has pixels
DASHES = (0, (4, 3))


def draw_distributions(values: Mapping[str, Values], targets: StrictModel, path: Path) -> bool:
    """A histogram of each of PANELS that was measured, with its upper bounds; whether there was any to draw."""
    names = [name for name in PANELS if name in values]
    if not names:
        return False
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    with styled():
        height = rows * PANEL_PX
        drawn = figure(WIDTH_PX, height)
        panels = drawn.subplots(rows, columns, squeeze=False).ravel()
        drawn.subplots_adjust(
            left=0.05, right=0.985, top=1.0 - 32 / height, bottom=48 / height, wspace=0.22, hspace=0.42
        )
        for axes, name in zip(panels, names, strict=False):
            _histogram(axes, name, values[name], _most(targets, name))
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        save(drawn, path)
    return True


def draw_timeline(log: Measured, targets: StrictModel, path: Path) -> bool:
    """Each of ROWS over the time of a bag, gaps and repetitions marked; whether there was any to draw."""
    names = [name for name in ROWS if name in log.curves and len(log.curves[name][0])]
    if not names:
        return False
    end_s = max(float(log.curves[name][0][-1]) for name in names)
    with styled():
        height = len(names) * ROW_PX + MARGIN_PX
        drawn = figure(WIDTH_PX, height)
        panels = drawn.subplots(len(names), 1, squeeze=False, sharex=True).ravel()
        drawn.subplots_adjust(left=0.06, right=0.985, top=1.0 - 30 / height, bottom=44 / height, hspace=0.42)
        for axes, name, colour in zip(panels, names, SERIES, strict=False):
            _curve(axes, log, name, colour, _most(targets, name))
            _marks(axes, log.events)
        time_axis(panels[-1], end_s)
        panels[-1].set_xlabel(f"time since the start of {log.name} [s]")
        save(drawn, path)
    return True


def _histogram(axes: Axes, name: str, values: Values, most: Sequence[float]) -> None:
    metric = METRICS[name]
    low, high = float(values.min()), float(values.max())
    if name == "reuse":
        bins = np.arange(low - 0.5, high + 1.5)
    else:
        margin = 0.0 if high > low else 1.0
        bins = np.linspace(low - margin, high + margin, BINS + 1)
    axes.hist(values, bins, color=SERIES[0], alpha=0.85)
    axes.axvline(float(np.median(values)), color=QUIET, lw=1.0, label="median")
    for bound in most:
        # A bound far beyond what came would squeeze the figure.
        if bound <= high + (high - low):
            axes.axvline(bound, color=BAD, lw=0.9, ls=DASHES, label="target")
    axes.set_title(metric.words)
    axes.set_xlabel(metric.unit)
    axes.yaxis.get_major_locator().set_params(integer=True)
    by_label = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(by_label.values(), by_label.keys(), loc="upper right")


def _curve(axes: Axes, log: Measured, name: str, colour: str, most: Sequence[float]) -> None:
    times, values = log.curves[name]
    step = max(1, len(times) // SHOWN_POINTS)
    style = "-" if name == "force_n" else "."
    axes.plot(times[::step], values[::step], style, color=colour, ms=4, lw=0.8)
    for bound in most:
        if bound <= 1.5 * float(values.max()):
            axes.axhline(bound, color=BAD, lw=0.9, ls=DASHES)
    metric = METRICS[name]
    axes.set_title(f"{metric.words} [{metric.unit}]")


def _marks(axes: Axes, events: Sequence[Event]) -> None:
    for event in events:
        colour = BAD if event.metric.endswith("gaps") else PALE
        axes.axvspan(event.at_s, event.at_s + event.length_s, color=colour, alpha=0.25, lw=0.0)


def _most(targets: StrictModel, name: str) -> list[float]:
    """The upper bounds of a metric."""
    wanted = getattr(targets, name)
    bounds = [getattr(wanted, entry) for entry in type(wanted).model_fields] if wanted else []
    return sorted({bound.at_most for bound in bounds if bound is not None and bound.at_most is not None})
