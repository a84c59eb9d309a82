"""Which pictures an episode's report has: the contact sheet, and one for each thing that can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2

from insertion_vla_training.inspection.plots import draw_images, draw_motion, draw_timing, draw_touch
from insertion_vla_training.inspection.seen import Seen
from insertion_vla_training.inspection.sheet import draw_sheet
from insertion_vla_training.inspection.style import styled
from insertion_vla_training.stores.layout import force_stream

SHEET = "sheet.png"
# By title: the file, what draws it, and whether there is anything to draw.
DRAWN: dict[str, tuple[str, Callable[[Seen, Path], None], Callable[[Seen], bool]]] = {
    "Contact sheet": (SHEET, draw_sheet, lambda seen: True),
    "Time": ("timing.png", draw_timing, lambda seen: True),
    "Touch": ("touch.png", draw_touch, lambda seen: force_stream(seen.contract) is not None),
    "Motion": ("motion.png", draw_motion, lambda seen: True),
    "Images": ("images.png", draw_images, lambda seen: any(len(view.stamps) for view in seen.views.values())),
}
THUMBNAIL = "Thumbnail"
THUMBNAIL_FILE, THUMBNAIL_WIDTH, THUMBNAIL_QUALITY = "thumbnail.jpg", 160, 85


def draw_pictures(seen: Seen, folder: Path) -> dict[str, str]:
    """Draw all that apply into a folder; file names by title."""
    files = {}
    with styled():
        for title, (file, draw, applies) in DRAWN.items():
            if applies(seen):
                draw(seen, folder / file)
                files[title] = file
    if _thumbnail(seen, folder / THUMBNAIL_FILE):
        files[THUMBNAIL] = THUMBNAIL_FILE
    return files


def _thumbnail(seen: Seen, path: Path) -> bool:
    """The last picture of the first view that has one, small, for the index."""
    for view in seen.views.values():
        if view.kept:
            picture = view.kept[max(view.kept)]
            size = (THUMBNAIL_WIDTH, round(THUMBNAIL_WIDTH * picture.shape[0] / picture.shape[1]))
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            return bool(cv2.imwrite(str(path), small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY]))
    return False
