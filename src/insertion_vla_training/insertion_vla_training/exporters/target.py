"""Where an export goes: it is there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REMOVALS = 20
SETTLE_S = 0.1


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that takes its name when the block ends well.

    After an error it is removed; what a killed export left is removed by the next one.

    Raises:
        ValueError: the target exists.
    """
    if target.exists():
        raise ValueError(f"expected a new folder for the export, {target} exists; remove it, or name another")
    partial = target.absolute().with_name(f".{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _sync(partial)
        partial.rename(target)
    except BaseException:
        _remove(partial)
        raise


def _remove(folder: Path) -> None:
    """Until it stays away: Zarr writes on threads of its own, and after an error one may still make a file."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(SETTLE_S)
        if not folder.exists():
            return


def _sync(folder: Path) -> None:
    """A name must not come to the disk before the content does."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
