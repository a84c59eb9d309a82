"""evaluation.png: an evaluation at one glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_sim.scene import TUBE_RGB
from insertion_vla_sim.truth import MAX_FORCE_N
from matplotlib.axes import Axes

from insertion_vla_training.evaluation.episode import Result
from insertion_vla_training.evaluation.summary import TIMES
from insertion_vla_training.inspection.style import BAD, INK, QUIET, SERIES, figure, save, styled

WIDTH_PX, HEIGHT_PX, BINS = 1200, 640, 20
GOOD = SERIES[2]


def draw_evaluation(results: Sequence[Result], summary: dict[str, Any], path: Path) -> None:
    """One PNG of six panels."""
    with styled():
        drawn = figure(WIDTH_PX, HEIGHT_PX)
        panels = drawn.subplots(2, 3)
        drawn.subplots_adjust(left=0.06, right=0.98, top=0.94, bottom=0.09, wspace=0.45, hspace=0.42)
        _success(panels[0, 0], summary)
        _failures(panels[0, 1], summary)
        _errors(panels[0, 2], results)
        _histogram(panels[1, 0], results, "peak_force_n", "Peak force", "N")
        panels[1, 0].axvline(MAX_FORCE_N, color=BAD, lw=0.9, ls=(0, (4, 3)))
        _histogram(panels[1, 1], results, "duration_s", "Duration", "s")
        _times(panels[1, 2], results)
        save(drawn, path)


def _success(axes: Axes, summary: dict[str, Any]) -> None:
    shares = {"all": summary["success"], **summary["success_by_colour"]}
    colours = [INK, *(TUBE_RGB[name] for name in summary["success_by_colour"])]
    for place, (share, colour) in enumerate(zip(shares.values(), colours, strict=True)):
        axes.bar(place, 100 * share["share"], color=colour, width=0.6, alpha=0.85)
        below, above = share["share"] - share["low"], share["high"] - share["share"]
        bounds = np.clip([[100 * below], [100 * above]], 0.0, None)
        axes.errorbar(place, 100 * share["share"], bounds, color=QUIET, capsize=4, lw=1.2)
        axes.annotate(f"{share['count']}/{share['of']}", (place, 2.0), ha="center", color="white", fontsize=8)
    axes.set_xticks(range(len(shares)), list(shares))
    axes.set_ylim(0.0, 105.0)
    axes.set_title("Success [%], Wilson 95 % interval")


def _failures(axes: Axes, summary: dict[str, Any]) -> None:
    axes.set_title("Failures")
    failures = summary["failures"]
    if not failures:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=QUIET)
        axes.set_axis_off()
        return
    axes.barh(range(len(failures)), list(failures.values()), color=BAD, height=0.55)
    axes.set_yticks(range(len(failures)), list(failures))
    axes.set_ylim(-0.6, max(len(failures), 3) - 0.4)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("episodes")


def _errors(axes: Axes, results: Sequence[Result]) -> None:
    for words, colour, of in (("success", GOOD, True), ("failure", BAD, False)):
        found = [result for result in results if result.success is of]
        axes.plot(
            [result.path_median_mm for result in found], [result.path_p95_mm for result in found], "o",
            color=colour, ms=4, alpha=0.7, label=words,
        )  # fmt: skip
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("median of the episode [mm]")
    axes.set_ylabel("95th percentile [mm]")
    axes.set_title("Distance from the expert's path")
    axes.legend()


def _histogram(axes: Axes, results: Sequence[Result], name: str, title: str, unit: str) -> None:
    of = {True: [], False: []}
    for result in results:
        of[result.success].append(getattr(result, name))
    edges = np.linspace(0.0, 1.02 * max(max(values) for values in of.values() if values), BINS + 1)
    axes.hist([of[True], of[False]], edges, stacked=True, color=[GOOD, BAD], label=["success", "failure"])
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.set_ylabel("episodes")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def _times(axes: Axes, results: Sequence[Result]) -> None:
    axes.set_title("Time of one call on this machine")
    for (name, words), colour in zip(TIMES.items(), SERIES, strict=False):
        calls = np.sort([value for result in results for value in getattr(result, name)])
        if len(calls):
            axes.plot(calls, 100.0 * (np.arange(len(calls)) + 1) / len(calls), color=colour, label=words)
    if not axes.lines:
        axes.text(0.5, 0.5, "no call was made", transform=axes.transAxes, ha="center", color=QUIET)
        axes.set_axis_off()
        return
    axes.set_xscale("log")
    axes.set_xlabel("ms")
    axes.set_ylabel("calls that are quicker [%]")
    axes.legend(loc="lower right")
