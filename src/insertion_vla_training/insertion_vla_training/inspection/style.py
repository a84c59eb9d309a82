"""How the pictures of a report look: colours, axes, and how a figure becomes a file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, QUIET, GRID, PAPER = "#1c2733", "#6b7885", "#e4e8ec", "#ffffff"
BAD, PALE = "#d1242f", "#b9d2f8"
SERIES = ("#1f6feb", "#e8590c", "#2b8a3e", "#9c36b5", "#c2255c", "#0b7285", "#8d6e00")
PHASES = ("#ffffff", "#fff4e0", "#e3f5e6")  # approach, near contact, finished
DPI = 110
COMPRESSION = 4

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": "#b4bdc6",
    "axes.labelcolor": QUIET,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # given, so that it is not worked out from everything else at each drawing
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": PAPER,
    "path.simplify_threshold": 1.0,
}


def figure(width_px: int, height_px: int) -> Figure:
    """An empty figure of so many pixels."""
    return Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI)


def save(drawn: Figure, path: Path) -> None:
    """As PNG."""
    drawn.savefig(path, dpi=DPI, pil_kwargs={"compress_level": COMPRESSION})


def styled() -> AbstractContextManager[None]:
    """Draw and save within this context."""
    return rc_context(STYLE)


def time_axis(axes: Axes, duration_s: float, label: bool = True) -> None:
    """The time of the episode along x."""
    axes.set_xlim(0.0, max(duration_s, 1e-3))
    if label:
        axes.set_xlabel("time since the start of the episode [s]")
    else:
        axes.tick_params(labelbottom=False)


def bound_line(axes: Axes, value: float, text: str) -> None:
    """A limit across the axes."""
    axes.axhline(value, color=BAD, lw=0.9, ls=(0, (4, 3)))
    axes.annotate(text, (0.0, value), xycoords=("axes fraction", "data"), xytext=(3, 2), textcoords="offset points",
                  color=BAD, fontsize=7.5)  # fmt: skip
