"""Descriptions of parameters of a node: a value with its type, a named parameter, a file."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch.utilities.type_utils import (
    extract_type,
    is_typing_list,
    normalize_typed_substitution,
    perform_typed_substitution,
)

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

_temporary_files: set[str] = set()


def write_temporary_file(prefix: str, text: str) -> Path:
    """A file for a node to read; it is removed when this program ends, not before: nodes may be started again."""
    if not _temporary_files:
        atexit.register(_remove_temporary_files)
    with tempfile.NamedTemporaryFile("w", prefix=prefix, delete=False, encoding="utf-8") as file:
        file.write(text)
    _temporary_files.add(file.name)
    return Path(file.name)


def _remove_temporary_files() -> None:
    for path in _temporary_files:
        Path(path).unlink(missing_ok=True)


class ParameterValue:
    """A value that is read as the given type, or by YAML's rules if none is given.

    Args:
        value: a value, or substitutions that perform to its text.
        value_type: int, float, bool, str or a typing.List of one of them.
    """

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        if value_type is not None:
            extract_type(value_type)
        self.__value = value
        self.__value_type = value_type
        self.__evaluated = False
        self.__evaluated_value: Any = None

    @property
    def value(self) -> Any:
        """As given; as evaluated, after the evaluation."""
        return self.__evaluated_value if self.__evaluated else self.__value

    @property
    def value_type(self) -> Any:
        return self.__value_type

    def __str__(self) -> str:
        return f"launch_ros.description.ParameterValue(value={self.value}, value_type={self.value_type})"

    def evaluate(self, context: LaunchContext) -> Any:
        """The value; ValueError if it does not have the type asked for."""
        plain_text = isinstance(self.__value, str)
        if plain_text and self.value_type is not None and self.value_type is not str:
            raise ValueError(
                f"expected a value of type '{self.value_type}', got the text '{self.__value}'; give it without quotes"
            )
        value = list(self.__value) if isinstance(self.__value, tuple) else self.__value
        normalized = normalize_typed_substitution(value, self.value_type)
        if isinstance(normalized, list) and not normalized and not is_typing_list(self.value_type):
            raise ValueError("expected a value or a non-empty list, got []; name its type: List[str], List[int] ...")
        self.__evaluated_value = perform_typed_substitution(context, normalized, self.value_type)
        self.__evaluated = True
        return self.__evaluated_value


class Parameter:
    """A named parameter; see ParameterValue for the value."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, *, value_type: Any = None) -> None:
        self.__name: list[Substitution] | str = normalize_to_list_of_substitutions(name)
        self.__parameter_value = ParameterValue(value, value_type=value_type)

    @property
    def name(self) -> list[Substitution] | str:
        return self.__name

    @property
    def value(self) -> Any:
        return self.__parameter_value.value

    @property
    def value_type(self) -> Any:
        return self.__parameter_value.value_type

    def __str__(self) -> str:
        return f"launch_ros.description.Parameter(name={self.name}, value={self.value}, value_type={self.value_type})"

    def evaluate(self, context: LaunchContext) -> tuple[str, Any]:
        """(name, value)."""
        if not isinstance(self.__name, str):
            self.__name = perform_substitutions(context, self.__name)
        return self.__name, self.__parameter_value.evaluate(context)


class ParameterFile:
    """A YAML file of parameters; with `allow_substs` its `$(...)` substitutions are performed."""

    def __init__(
        self, param_file: SomeSubstitutionsType | os.PathLike, *, allow_substs: bool | SomeSubstitutionsType = False
    ) -> None:
        self.__param_file: Any = normalize_to_list_of_substitutions(param_file)
        self.__allow_substs: Any = normalize_typed_substitution(allow_substs, bool)
        self.__evaluated: Path | None = None

    @property
    def param_file(self) -> Path | list[Substitution]:
        """As given; the file to read, after the evaluation."""
        return self.__param_file if self.__evaluated is None else self.__evaluated

    @property
    def allow_substs(self) -> Any:
        return self.__allow_substs

    def __str__(self) -> str:
        return f"launch_ros.description.ParameterFile(param_file={self.param_file}, allow_substs={self.allow_substs})"

    def evaluate(self, context: LaunchContext) -> Path:
        """Path of the file, or of a temporary one with the substitutions performed."""
        path = Path(perform_substitutions(context, self.__param_file))
        if perform_typed_substitution(context, self.__allow_substs, bool):
            path = self.__with_substitutions_performed(context, path)
        self.__evaluated = path
        return path

    def __with_substitutions_performed(self, context: LaunchContext, path: Path) -> Path:
        import yaml
        from launch.frontend.parse_substitution import parse_substitution
        from launch.substitutions.substitution_failure import SubstitutionFailure

        text = perform_substitutions(context, parse_substitution(path.read_text(encoding="utf-8")))
        try:
            yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SubstitutionFailure(
                f"expected YAML in '{path}' after its substitutions were performed, got: {error}"
            ) from error
        return write_temporary_file("launch_params_", text)

    def cleanup(self) -> None:
        """Remove the temporary file, if there is one."""
        if self.__evaluated is not None and str(self.__evaluated) in _temporary_files:
            _temporary_files.discard(str(self.__evaluated))
            self.__evaluated.unlink(missing_ok=True)
        self.__evaluated = None
