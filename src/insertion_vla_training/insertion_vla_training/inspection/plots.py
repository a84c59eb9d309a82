"""Pictures of what was measured: ages and delays, force and A-lines, motion and commands, sharpness of the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from insertion_vla_training.inspection.clock import delays_s, newest_rows
from insertion_vla_training.inspection.curves import draw_force, part_medians, shade_phases
from insertion_vla_training.inspection.features import newest_age_s
from insertion_vla_training.inspection.seen import NS, Seen
from insertion_vla_training.inspection.style import BAD, QUIET, SERIES, figure, save, time_axis
from insertion_vla_training.stores import layout

WIDTH_PX, CURVE_PX, PICTURE_PX = 1200, 260, 225
TICK_S = 0.01
DELAY_OVER_S = 0.5
COLUMNS = 600
AGES = LinearSegmentedColormap.from_list("ages", ["#f3f8ff", "#a9cdfb", "#3f87ea", "#1c4f9c"]).with_extremes(
    over=BAD, bad="#dfe3e7"
)
DEPTHS = "magma"
SPECKLE = 5.0  # times its spread: without a surface the picture stays dark


def draw_timing(seen: Seen, path: Path) -> None:
    """Age of the newest datum of every stream against what the contract allows, and the delays."""
    sources = _sources(seen)
    drawn = figure(WIDTH_PX, 150 + 22 * len(sources) + 230)
    above, below = drawn.subplots(2, 1, height_ratios=[22 * len(sources) + 40, 200])
    drawn.subplots_adjust(left=0.12, right=0.87, top=0.94, bottom=0.09, hspace=0.25)
    ticks = seen.episode.start_ns + np.arange(0, round(seen.episode.duration_s * NS) + 1, round(TICK_S * NS))
    ages = np.array([_columns(newest_age_s(ticks, s, r, u) / age) for s, r, u, age in sources.values()])
    ages[~np.isfinite(ages)] = np.nan
    image = above.imshow(
        ages, cmap=AGES, vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest",
        extent=(0.0, seen.episode.duration_s, len(sources) - 0.5, -0.5),
    )  # fmt: skip
    bar = drawn.colorbar(image, cax=above.inset_axes((1.015, 0.0, 0.015, 1.0)), extend="max")
    bar.outline.set_visible(False)
    above.set_title("Age of the newest datum at every moment, as a share of what is allowed (red: too old)")
    above.set_yticks(range(len(sources)), list(sources))
    above.grid(False)
    time_axis(above, seen.episode.duration_s, label=False)
    for number, (name, (stamps, receive, _, _)) in enumerate(sources.items()):
        times_s = seen.seconds(receive[newest_rows(receive)])
        below.plot(
            *part_medians(times_s, 1e3 * delays_s(stamps, receive), DELAY_OVER_S), label=name,
            color=SERIES[number % len(SERIES)], ls="-" if number < len(SERIES) else (0, (4, 2)),
        )  # fmt: skip
    below.set_title("From stamp to receipt: median of every half second")
    below.set_ylabel("ms")
    below.set_yscale("symlog", linthresh=1.0)
    below.legend(loc="upper left", bbox_to_anchor=(1.0, 1.08), handlelength=1.2, labelspacing=0.25)
    time_axis(below, seen.episode.duration_s)
    save(drawn, path)


def _sources(seen: Seen) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], float]]:
    """Stamps, receive times, usable rows and allowed age [s] of everything that has a time, by name."""
    found = {}
    for stream in seen.contract.observations:
        if stream.payload:
            found[stream.name] = (*seen.payloads[stream.name], stream.max_age_s)
        else:
            rows = seen.streams[stream.name]
            # A distance that is not a number is a datum too: there is no surface.
            usable = np.isfinite(rows.values).all(axis=1) | stream.optional
            found[stream.name] = (rows.stamps, rows.receive, usable, stream.max_age_s)
    for image in seen.contract.images:
        view = seen.views[image.name]
        found[image.name] = (view.stamps, view.receive, np.isfinite(view.sharpness), image.max_age_s)
    stamps = seen.chunks["stamps"]
    found["action"] = (stamps, seen.chunks["receive"], np.ones(len(stamps), bool), seen.limits.chunk_age)
    return found


def _columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest of each of COLUMNS equal parts, so that a short gap still shows."""
    starts = np.arange(COLUMNS) * len(values) // COLUMNS
    return np.maximum.reduceat(values, starts)


def draw_touch(seen: Seen, path: Path) -> None:
    """Force, and what the needle saw ahead."""
    drawn = figure(WIDTH_PX, 500)
    above, below = drawn.subplots(2, 1, height_ratios=[2, 3])
    drawn.subplots_adjust(left=0.07, right=0.98, top=0.94, bottom=0.1, hspace=0.25)
    draw_force(above, seen)
    shade_phases(above, seen)
    above.set_title("Axial force (shaded: near contact, finished)")
    time_axis(above, seen.episode.duration_s, label=False)
    below.set_title("A-lines over time: intensity along the needle, the tip at the top")
    below.grid(False)
    time_axis(below, seen.episode.duration_s)
    if seen.alines is None or not np.isfinite(seen.alines.depths).any():
        below.text(0.5, 0.5, "no A-lines were recorded", transform=below.transAxes, ha="center", color=QUIET)
    else:
        depths = _in_time(seen, seen.alines.times, seen.alines.depths)
        low, middle, high = np.nanquantile(depths, [0.05, 0.5, 0.995])
        high = max(high, middle + SPECKLE * (middle - low))
        below.imshow(
            depths.T, cmap=DEPTHS, aspect="auto", vmin=low, vmax=high,
            extent=(0.0, seen.episode.duration_s, layout.BINS, 0),
        )  # fmt: skip
        below.set_ylabel("bin")
        time_axis(below, seen.episode.duration_s)
    save(drawn, path)


def _in_time(seen: Seen, times: NDArray[np.int64], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, ...) at COLUMNS even times of the episode; NaN where there are none."""
    grid = seen.episode.start_ns + (np.arange(COLUMNS) + 0.5) / COLUMNS * seen.episode.duration_s * NS
    newest = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, len(times) - 1)
    age = grid - times[newest]
    period = max(float(np.median(np.diff(times))) if len(times) > 1 else 0.0, seen.episode.duration_s * NS / COLUMNS)
    return np.where(((age >= 0) & (age <= 2.0 * period))[:, None], rows[newest], np.nan)


def draw_motion(seen: Seen, path: Path) -> None:
    """Where the tool and the joints went, and how smoothly they were commanded."""
    drawn = figure(WIDTH_PX, 600)
    panels = drawn.subplots(3, 1)
    drawn.subplots_adjust(left=0.07, right=0.88, top=0.95, bottom=0.09, hspace=0.35)
    for axes, (name, scale, unit) in zip(panels[:2], (("pose", 1e3, "mm"), ("position", 57.29578, "deg")), strict=True):
        stream = next((s for s in seen.contract.observations if s.field == name and not s.payload), None)
        if stream is None or len(seen.streams[stream.name].stamps) == 0:
            axes.text(0.5, 0.5, "not in the contract, or not recorded", transform=axes.transAxes, ha="center")
            continue
        rows, count = seen.streams[stream.name], 3 if name == "pose" else len(stream.channels)
        for channel in range(count):
            moved = scale * (rows.values[:, channel] - rows.values[0, channel])
            axes.plot(seen.seconds(rows.stamps), moved, color=SERIES[channel % len(SERIES)],
                      label=stream.channels[channel])  # fmt: skip
        axes.set_title(f"{stream.name.replace('_', ' ')}, from where it began")
        axes.set_ylabel(unit)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05))
    times_s = seen.seconds(seen.jumps.stamps)
    panels[2].plot(times_s, 1e3 * seen.jumps.step, color=SERIES[0], label="row to row")
    panels[2].plot(times_s, 1e3 * seen.jumps.jump, color=SERIES[1], label="to next chunk")
    panels[2].set_title("How far the command moves")
    panels[2].set_ylabel("mm")
    panels[2].legend(loc="upper left", bbox_to_anchor=(1.0, 1.05))
    for axes in panels:
        shade_phases(axes, seen)
        time_axis(axes, seen.episode.duration_s, label=axes is panels[2])
    save(drawn, path)


def draw_images(seen: Seen, path: Path) -> None:
    """Sharpness of every view over time, and the least sharp picture of each."""
    views = {name: view for name, view in seen.views.items() if view.kept}
    height_px = CURVE_PX + (PICTURE_PX if views else 0)
    drawn = figure(WIDTH_PX, height_px)
    left, width = 0.05, 0.87
    axes = drawn.add_axes((left, 1.0 - (CURVE_PX - 44) / height_px, width, (CURVE_PX - 74) / height_px))
    for number, (name, view) in enumerate(seen.views.items()):
        times_s, colour = seen.seconds(view.stamps), SERIES[number % len(SERIES)]
        usual = np.nanmedian(view.sharpness) if np.isfinite(view.sharpness).any() else 1.0
        relative = view.sharpness / usual
        axes.plot(times_s, relative, color=colour, marker=".", ms=4, label=name)
        equal = [i for i in range(1, len(view.hashes)) if view.hashes[i] and view.hashes[i] == view.hashes[i - 1]]
        axes.plot(times_s[equal], relative[equal], "x", color=BAD, ms=6)
        for time_s in times_s[~np.isfinite(view.sharpness)]:
            axes.axvline(time_s, color=BAD, lw=1.0)
    axes.set_title(
        "Sharpness, as a share of the episode's median (crosses: the same picture again; red lines: no picture)"
    )
    axes.set_ylim(0.0, 1.08 * axes.get_ylim()[1])
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05))
    time_axis(axes, seen.episode.duration_s)
    for place, (name, view) in enumerate(views.items()):
        part = width / len(views)
        below = drawn.add_axes((left + place * part, 8 / height_px, 0.96 * part, (PICTURE_PX - 34) / height_px))
        least = min(view.kept, key=lambda index: view.sharpness[index])
        below.imshow(view.kept[least])
        below.set_anchor("W")
        below.set_title(f"{name}: least sharp, at {seen.seconds(view.stamps)[least]:.1f} s", fontsize=9)
        below.set_axis_off()
    save(drawn, path)
