"""The contact sheet: an episode at one glance, as a single PNG that needs no browser."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from insertion_vla_training.inspection.curves import curves, shade_phases
from insertion_vla_training.inspection.images import Picture, ViewMeasure
from insertion_vla_training.inspection.seen import COLUMNS, Seen
from insertion_vla_training.inspection.style import BAD, INK, PHASES, QUIET, figure, save, time_axis

WIDTH_PX, LEFT_PX, RIGHT_PX, HEAD_PX, FOOT_PX, CURVE_PX, GAP_PX = 1600, 78, 16, 62, 44, 104, 8
SHADE_PX = 68  # width of one word of the legend
NOTHING = np.array([226, 230, 234], np.uint8)
BORDER_PX = 2
NS = 1e9


def draw_sheet(seen: Seen, path: Path) -> None:
    """Thumbnails of every view over time, and the curves of the same time beneath."""
    cell_px = (WIDTH_PX - LEFT_PX - RIGHT_PX) // COLUMNS
    strips = {view: _strip(seen, of, cell_px) for view, of in seen.views.items()}
    below = curves(seen)
    height = (
        HEAD_PX + sum(len(strip) + GAP_PX for strip in strips.values()) + len(below) * (CURVE_PX + GAP_PX) + FOOT_PX
    )
    sheet = figure(WIDTH_PX, height)
    _head(sheet, seen, height)
    top = HEAD_PX
    for view, strip in strips.items():
        axes = _axes(sheet, top, len(strip), height)
        axes.imshow(strip, extent=(0.0, seen.episode.duration_s, 0.0, 1.0), aspect="auto", interpolation="nearest")
        axes.set_ylabel(view, color=INK)
        axes.set_yticks([])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        time_axis(axes, seen.episode.duration_s, label=False)
        axes.tick_params(bottom=False)
        top += len(strip) + GAP_PX
    for draw in below:
        axes = _axes(sheet, top, CURVE_PX, height)
        draw(axes, seen)
        shade_phases(axes, seen)
        axes.yaxis.set_label_coords(-0.034, 0.5)
        time_axis(axes, seen.episode.duration_s, label=draw is below[-1])
        top += CURVE_PX + GAP_PX
    save(sheet, path)


def _axes(sheet: Figure, top_px: int, height_px: int, sheet_px: int) -> Axes:
    width = (WIDTH_PX - LEFT_PX - RIGHT_PX) / WIDTH_PX
    return sheet.add_axes((LEFT_PX / WIDTH_PX, 1.0 - (top_px + height_px) / sheet_px, width, height_px / sheet_px))


def _head(sheet: Figure, seen: Seen, height_px: int) -> None:
    episode = seen.episode
    seed = "" if episode.seed is None else f" · seed {episode.seed}"
    bad = " · marked as bad" if episode.bad else ""
    sheet.text(LEFT_PX / WIDTH_PX, 1.0 - 24 / height_px, episode.name, fontsize=14, weight="bold", va="center")
    told = f"{episode.instruction or 'no instruction'}"
    sheet.text(LEFT_PX / WIDTH_PX, 1.0 - 46 / height_px, told, fontsize=9.5, color=QUIET, va="center")
    facts = f"{episode.outcome} · {episode.split} · {episode.duration_s:.1f} s · {episode.source}{seed}{bad}"
    colour = BAD if episode.bad or episode.outcome == "failure" else INK
    sheet.text(
        1.0 - RIGHT_PX / WIDTH_PX, 1.0 - 24 / height_px, facts, fontsize=10, ha="right", va="center", color=colour
    )
    if seen.aux is None or len(seen.aux) == 0:
        return
    for place, (text, shade) in enumerate((("near contact", PHASES[1]), ("finished", PHASES[2]))):
        right_px = WIDTH_PX - RIGHT_PX - 4 - (1 - place) * SHADE_PX
        sheet.text(right_px / WIDTH_PX, 1.0 - 46 / height_px, text, fontsize=8, ha="right", va="center", color=QUIET,
                   bbox={"facecolor": shade, "edgecolor": "none", "pad": 3})  # fmt: skip


def _strip(seen: Seen, view: ViewMeasure, cell_px: int) -> Picture:
    """The thumbnails of one view side by side, each at its place in time; grey where there is none."""
    shapes = [picture.shape for picture in view.kept.values()]
    height = round(cell_px * shapes[0][0] / shapes[0][1]) if shapes else cell_px * 9 // 16
    strip = np.full((height, cell_px * COLUMNS, 3), NOTHING, np.uint8)
    part_ns = seen.episode.duration_s * NS / COLUMNS
    for column in range(COLUMNS):
        centre = seen.episode.start_ns + (column + 0.5) * part_ns
        near = [index for index in view.kept if abs(view.stamps[index] - centre) <= part_ns / 2]
        if near:
            index = min(near, key=lambda index: abs(view.stamps[index] - centre))
            strip[:, column * cell_px : (column + 1) * cell_px - BORDER_PX] = cv2.resize(
                view.kept[index], (cell_px - BORDER_PX, height), interpolation=cv2.INTER_AREA
            )
    return strip
