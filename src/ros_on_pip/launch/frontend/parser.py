"""The names of the XML and YAML front ends, which refuse."""

from __future__ import annotations

from typing import Any

from ..invalid_launch_file_error import InvalidLaunchFileError

UNSUPPORTED = (
    "XML and YAML launch files are not supported by src/ros_on_pip: expected a Python launch file "
    "('*.launch.py'); install a ROS 2 distribution to use this one"
)


class InvalidFrontendLaunchFileError(InvalidLaunchFileError):
    """A launch file in a language that is not supported."""


class Entity:
    """A tag of an XML or YAML launch file; named in type hints of actions, never made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(UNSUPPORTED)


class Parser:
    """Parser of XML and YAML launch files; there is none."""

    @classmethod
    def get_available_extensions(cls) -> list[str]:
        return []

    @classmethod
    def get_file_extensions_from_parsers(cls) -> list[type]:
        return []

    @classmethod
    def load(cls, file: Any) -> Any:
        raise NotImplementedError(UNSUPPORTED)

    def parse_substitution(self, value: str) -> Any:
        from .parse_substitution import parse_substitution

        return parse_substitution(value)
