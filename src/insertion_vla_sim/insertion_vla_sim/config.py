"""Where the workspace's configuration files are, for commands that run without ROS."""

from __future__ import annotations

import os
from pathlib import Path


def find_config() -> Path:
    """The folder with limits.yaml: of the source tree this file belongs to, else of the installed insertion_vla.

    Raises:
        ValueError: neither is there.
    """
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    places = [parent / "config" for parent in Path(__file__).resolve().parents]
    places += [prefix / "share" / "insertion_vla" / "config" for prefix in prefixes]
    for place in places:
        if (place / "limits.yaml").is_file():
            return place
    raise ValueError("expected the workspace's config folder (limits.yaml), found none: name it with --config")
