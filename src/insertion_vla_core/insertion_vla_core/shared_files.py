"""Where the files are that the workspace's packages share: config/ and models/."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def find_shared(folder: str, package: str, holds: str) -> Path | None:
    """A folder of the source tree that this file belongs to, else of where a package is installed; None without either.

    Args:
        folder: "config" or "models".
        package: that installs it below its share/.
        holds: a file in it, by which the right one is known.
    """
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    places = [parent / folder for parent in Path(__file__).resolve().parents]
    places += [Path(prefix) / "share" / package / folder for prefix in prefixes]
    return next((place for place in places if (place / holds).is_file()), None)
