"""latency.png: how long a chunk takes over sampling steps, or by back end where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from insertion_vla_training.inspection.style import SERIES, bound_line, figure, save, styled
from insertion_vla_training.profiling.measure import Row

WIDTH_PX, HEIGHT_PX = 900, 520
SIDE = 0.13  # between the points of one back end


def draw_latency(rows: Sequence[Row], budget_ms: float, policy: str, path: Path) -> None:
    """One PNG."""
    names = list(dict.fromkeys((row.backend, row.device) for row in rows))
    with styled():
        drawn = figure(WIDTH_PX, HEIGHT_PX)
        axes = drawn.subplots()
        drawn.subplots_adjust(left=0.09, right=0.97, top=0.92, bottom=0.12)
        axes.set_title(f"{policy}: time of a chunk")
        axes.set_yscale("log")
        axes.set_ylabel("ms")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(NullFormatter())
        by_name = {name: [row for row in rows if (row.backend, row.device) == name] for name in names}
        if len({row.steps for row in rows}) > 1:
            _curves(axes, by_name)
        else:
            _points(axes, by_name)
        # Both lines of the budget and of the data are to be seen.
        low, high = min(row.p50 for row in rows), max(*(row.max for row in rows), budget_ms)
        axes.set_ylim(0.6 * low, 1.6 * high)
        bound_line(axes, budget_ms, f"budget of p99: {budget_ms:.1f} ms")
        save(drawn, path)


def _curves(axes: Axes, by_name: dict[tuple[str, str], list[Row]]) -> None:
    """p99 as a line, and down to the median as a band."""
    for (backend, device), colour in zip(by_name, SERIES, strict=False):
        rows = sorted(by_name[backend, device], key=lambda row: row.steps)
        counts = [row.steps for row in rows]
        axes.plot(counts, [row.p99 for row in rows], "o-", color=colour, ms=4, label=f"{backend}, {device}")
        axes.fill_between(
            counts, [row.p50 for row in rows], [row.p99 for row in rows], color=colour, alpha=0.18, lw=0.0
        )
    every = sorted({row.steps for rows in by_name.values() for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(every, [str(count) for count in every], minor=False)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("sampling steps; line: p99, band: down to the median")
    axes.legend(loc="lower right")


def _points(axes: Axes, by_name: dict[tuple[str, str], list[Row]]) -> None:
    """Median, p95, p99 and the longest call of each back end, side by side."""
    for index, name in enumerate(("p50", "p95", "p99", "max")):
        places = [place + SIDE * (index - 1.5) for place in range(len(by_name))]
        values = [getattr(rows[0], name) for rows in by_name.values()]
        axes.plot(places, values, "o", color=SERIES[index], ms=7, label=name)
    axes.set_xticks(range(len(by_name)), [f"{backend}\n{device}" for backend, device in by_name])
    axes.set_xlim(-0.6, len(by_name) - 0.4)
    axes.legend(loc="upper right", ncols=4)


def _plain(value: float, place: int | None = None) -> str:
    return f"{value:g}"
