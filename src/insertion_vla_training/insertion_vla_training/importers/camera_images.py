"""JPEG files of the lab's cameras: one per image, named by its time; their bytes go on unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from insertion_vla_training.importers import messages
from insertion_vla_training.importers.clock import EPOCH_S
from insertion_vla_training.importers.contracts import Size
from insertion_vla_training.importers.episode import Entry
from insertion_vla_training.importers.safe_files import jpeg_size

_VIEW = re.compile(r"View\d+")
_TIME = re.compile(r"(?:.*_)?(\d+(?:\.\d+)?)")  # zed_41182735_left_1762929988.547.jpg, 1762929988.547459.jpg
SIDES = ("left", "right")


@dataclass
class ViewFiles:
    """The images of one view: (time [s], file), in order of time; and files that are none."""

    files: list[tuple[float, Path]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def view_files(folder: Path) -> dict[str, ViewFiles]:
    """Images by view below a folder of `ViewN` folders: `view1`, or `view1_left` where a camera has two eyes."""
    found: dict[str, ViewFiles] = {}
    for view in sorted(child for child in folder.iterdir() if child.is_dir() and _VIEW.fullmatch(child.name)):
        _collect(view, view.name.lower(), found)
        for side in SIDES:
            if (view / side).is_dir():
                _collect(view / side, f"{view.name.lower()}_{side}", found)
    return found


def _collect(folder: Path, name: str, found: dict[str, ViewFiles]) -> None:
    view = ViewFiles()
    taken: set[float] = set()
    for file in sorted(child for child in folder.iterdir() if child.is_file() and not child.name.startswith(".")):
        match = _TIME.fullmatch(file.name.removesuffix(".jpg")) if file.suffix == ".jpg" else None
        time_s = float(match[1]) if match else 0.0
        if not EPOCH_S[0] < time_s < EPOCH_S[1]:
            view.problems.append(
                f"{file}: expected a JPEG file named by its time in seconds since 1970; it is left out"
            )
        elif time_s in taken:
            view.problems.append(f"{file}: there is another image of that view and time; it is left out")
        else:
            taken.add(time_s)
            view.files.append((time_s, file))
    view.files.sort()
    if view.files or view.problems:
        found[name] = view


def view_sizes(views: dict[str, ViewFiles]) -> dict[str, Size]:
    """Width and height by view, of the first image of each that can be read."""
    sizes: dict[str, Size] = {}
    for name, view in views.items():
        for _, file in view.files:
            try:
                sizes[name] = jpeg_size(file.read_bytes())
                break
            except (ValueError, OSError):
                continue  # `image_entries` reports it
    return sizes


def image_entries(views: dict[str, ViewFiles], offset_s: float) -> tuple[list[Entry], list[str]]:
    """Messages of all images, and a sentence for each file that is no whole image.

    When an image was received is not recorded: its own time stands for it.
    """
    entries, problems = [], []
    for name, view in views.items():
        problems += view.problems
        for time_s, file in view.files:
            try:
                jpeg_size(file.read_bytes())
            except (ValueError, OSError) as error:
                problems.append(f"{file}: {error}; it is left out")
                continue
            stamp_ns = round((time_s + offset_s) * 1e9)
            entries.append(Entry(stamp_ns, f"{name}/image_raw/compressed", partial(_encode, stamp_ns, file)))
    return entries, problems


def _encode(stamp_ns: int, file: Path) -> bytes:
    return messages.image(stamp_ns, file.read_bytes())
