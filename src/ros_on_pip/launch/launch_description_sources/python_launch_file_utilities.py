"""Python launch files."""

from __future__ import annotations

import os
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from ..launch_description import LaunchDescription


class InvalidPythonLaunchFileError(Exception):
    """A Python launch file without `generate_launch_description()`, or with one that returns something else."""


def load_python_launch_file_as_module(python_launch_file_path: str | os.PathLike) -> ModuleType:
    """The module of the file; it is not entered into sys.modules, and no byte code is written beside it."""
    path = os.fspath(python_launch_file_path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"[Errno 2] expected a launch file at '{path}', there is none")
    loader = _LaunchFileLoader("python_launch_file", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


class _LaunchFileLoader(SourceFileLoader):
    """Loads a module without leaving a __pycache__ in the share folder of a package."""

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:
        """Do not write byte code."""


def get_launch_description_from_python_launch_file(python_launch_file_path: str | os.PathLike) -> LaunchDescription:
    """What the file's `generate_launch_description()` returns."""
    path = os.fspath(python_launch_file_path)
    module = load_python_launch_file_as_module(path)
    function = getattr(module, "generate_launch_description", None)
    if function is None:
        raise InvalidPythonLaunchFileError(
            f"launch file at '{path}' does not contain the required function 'generate_launch_description()'"
        )
    description = function()
    if not isinstance(description, LaunchDescription):
        raise InvalidPythonLaunchFileError(
            f"expected generate_launch_description() of '{path}' to return a LaunchDescription, "
            f"got '{type(description).__name__}'"
        )
    return description
