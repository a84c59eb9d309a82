"""The XML and YAML sources, which refuse."""

from __future__ import annotations

from typing import Any

from ..frontend.parser import UNSUPPORTED
from ..launch_description_source import LaunchDescriptionSource


class FrontendLaunchDescriptionSource(LaunchDescriptionSource):
    """XML and YAML launch files are not supported: constructing one raises an error that says so."""

    def __init__(self, launch_file_path: Any = None, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"{UNSUPPORTED}, got '{launch_file_path}'")


class XMLLaunchDescriptionSource(FrontendLaunchDescriptionSource):
    """Refuses."""


class YAMLLaunchDescriptionSource(FrontendLaunchDescriptionSource):
    """Refuses."""
