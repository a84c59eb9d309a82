"""Where the workspace's configuration files are, for commands that run without ROS."""

from __future__ import annotations

from pathlib import Path

from insertion_vla_core.shared_files import find_shared


def find_config() -> Path:
    """The folder with limits.yaml.

    Raises:
        ValueError: there is none.
    """
    found = find_shared("config", "insertion_vla", "limits.yaml")
    if found is None:
        raise ValueError("expected the workspace's config folder (limits.yaml), found none: name it with --config")
    return found
