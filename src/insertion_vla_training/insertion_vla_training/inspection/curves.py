"""Curves that tell what happened: force, distance to the surface ahead, speed of the tool, and the phases behind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from insertion_vla_training.inspection.seen import Seen
from insertion_vla_training.inspection.style import PALE, PHASES, QUIET, SERIES, bound_line
from insertion_vla_training.stores import layout

SPEED_OVER_S = 0.1
NS = 1e9
PHASE_EDGES = (0.5, 1.5)  # of the auxiliary channel

FORCE_OVER_S, GAP_S = 0.05, 0.05
Floats = NDArray[np.float64]
Curve = Callable[[Axes, Seen], None]


def curves(seen: Seen) -> list[Curve]:
    """Those that the contract's streams allow."""
    found: list[Curve] = []
    if layout.force_stream(seen.contract):
        found.append(draw_force)
    if _named(seen, field="alines"):
        found.append(draw_distance)
    if _named(seen, field="pose"):
        found.append(draw_speed)
    return found


def draw_force(axes: Axes, seen: Seen) -> None:
    """Axial force, and where the gate takes it for contact."""
    stream = layout.force_stream(seen.contract)
    if stream is None:
        return
    rows = seen.streams[stream.name]
    times_s, force = seen.seconds(rows.stamps), rows.values[:, 0]
    axes.plot(*broken(times_s, force), color=PALE, lw=0.5)
    axes.plot(*part_medians(times_s, force, FORCE_OVER_S), color=SERIES[0])
    if stream.unit == "N":
        bound_line(axes, seen.limits.force_contact, "contact")
        if np.nanmax(force, initial=0.0) > seen.limits.force_soft:
            bound_line(axes, seen.limits.force_soft, "soft limit")
    axes.set_ylabel("force [N]" if stream.unit == "N" else "raw force")


def part_medians(times_s: Floats, values: Floats, part_s: float) -> tuple[Floats, Floats]:
    """Middles [s] and medians of equal parts of the time; NaN for parts without a number, so that a line breaks."""
    finite = np.isfinite(values)
    times_s, values = times_s[finite], values[finite]
    if len(times_s) == 0:
        return times_s, values
    part = np.floor(times_s / part_s).astype(int)
    first, order = int(part.min()), np.argsort(part, kind="stable")
    counts = np.bincount(part - first)
    groups = np.split(values[order], np.cumsum(counts)[:-1])
    medians = np.array([np.median(group) if len(group) else np.nan for group in groups])
    return np.asarray((first + np.arange(len(counts)) + 0.5) * part_s, np.float64), medians


def broken(times_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The same line with a break wherever nothing came for long."""
    gaps = np.flatnonzero(np.diff(times_s) > GAP_S) + 1
    return np.insert(times_s, gaps, np.nan), np.insert(values, gaps, np.nan)


def draw_distance(axes: Axes, seen: Seen) -> None:
    """Distance to the surface ahead, where the A-lines show one."""
    rows = seen.streams[_named(seen, field="alines")]
    axes.plot(seen.seconds(rows.stamps), 1e3 * rows.values[:, 0], color=SERIES[2], lw=0, marker=".", ms=2)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("surface [mm]")
    if not np.isfinite(rows.values).any():
        axes.text(0.5, 0.5, "no surface was seen", transform=axes.transAxes, ha="center", va="center", color=QUIET)


def draw_speed(axes: Axes, seen: Seen) -> None:
    """Speed of the tool, and what the gate allows."""
    rows = seen.streams[_named(seen, field="pose")]
    times_s, speed = tool_speed(rows.stamps, rows.values[:, :3])
    axes.plot(times_s + (rows.stamps[:1] - seen.episode.start_ns).sum() / NS, 1e3 * speed, color=SERIES[1])
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("speed [mm/s]")


def tool_speed(stamps: NDArray[np.int64], positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Times (k,) [s] since the first stamp and speeds (k,) [m/s] over a tenth of a second."""
    if len(stamps) < 2:
        return np.zeros(0), np.zeros(0)
    times_s = (stamps - stamps[0]) / NS
    grid = np.arange(0.0, times_s[-1] + 1e-9, SPEED_OVER_S / 2)
    order = np.argsort(times_s)
    at = np.stack([np.interp(grid, times_s[order], column[order]) for column in positions.T], axis=1)
    speed = np.linalg.norm(at[2:] - at[:-2], axis=1) / SPEED_OVER_S
    return grid[1:-1], speed


def shade_phases(axes: Axes, seen: Seen) -> None:
    """Behind the curves: near contact and finished, as the commands say."""
    aux = seen.aux
    if aux is None or len(aux) == 0:
        return
    phase = np.digitize(aux, PHASE_EDGES)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(phase)) + 1, [len(phase)]])
    times_s = np.append(seen.seconds(seen.chunks["stamps"]), seen.episode.duration_s)
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if phase[first]:
            axes.axvspan(times_s[first], times_s[last], color=PHASES[phase[first]], lw=0, zorder=0)


def _named(seen: Seen, field: str) -> str:
    """The stream of numbers that comes from such a field; "" without one."""
    for stream in seen.contract.observations:
        if stream.field == field and not stream.payload and len(seen.streams[stream.name].stamps):
            return stream.name
    return ""
