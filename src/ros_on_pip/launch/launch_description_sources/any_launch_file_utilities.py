"""Launch files in any language that is supported: Python."""

from __future__ import annotations

import os

from ..frontend.parser import UNSUPPORTED
from ..invalid_launch_file_error import InvalidLaunchFileError
from ..launch_description import LaunchDescription
from .python_launch_file_utilities import get_launch_description_from_python_launch_file

OTHER_LANGUAGES = (".xml", ".yaml", ".yml", ".launch")


def get_launch_description_from_frontend_launch_file(launch_file_path: str | os.PathLike) -> LaunchDescription:
    """Refuse: XML and YAML launch files are not supported."""
    raise NotImplementedError(f"{UNSUPPORTED}, got '{os.fspath(launch_file_path)}'")


def get_launch_description_from_any_launch_file(launch_file_path: str | os.PathLike) -> LaunchDescription:
    """The description of a Python launch file; InvalidLaunchFileError for any other."""
    path = os.fspath(launch_file_path)
    extension = os.path.splitext(path)[1]
    try:
        if extension in OTHER_LANGUAGES:
            return get_launch_description_from_frontend_launch_file(path)
        return get_launch_description_from_python_launch_file(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise InvalidLaunchFileError(extension, likely_errors=[error], launch_file_path=path) from error
