"""Normalized parameters, with their substitutions performed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launch.utilities import perform_substitutions

from ..parameter_descriptions import Parameter, ParameterFile, ParameterValue
from ..parameters_type import Parameters

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

SCALARS = (bool, int, float, str)


def evaluate_parameters(context: LaunchContext, parameters: Parameters) -> tuple[Any, ...]:
    """A path for each file, a flat dictionary for each dictionary; Parameter descriptions stay as they are."""
    evaluated: list[Any] = []
    for parameter in parameters:
        if isinstance(parameter, ParameterFile):
            evaluated.append(parameter.evaluate(context))
        elif isinstance(parameter, Mapping):
            evaluated.append(evaluate_parameter_dict(context, parameter))
        elif isinstance(parameter, Parameter):
            evaluated.append(parameter)
        else:
            raise TypeError(f"expected normalized parameters, got {parameter!r}")
    return tuple(evaluated)


def evaluate_parameter_dict(context: LaunchContext, parameters: Mapping[Any, Any]) -> dict[str, Any]:
    """Names and values; texts that come from substitutions are read as YAML."""
    return {
        perform_substitutions(context, list(name)): _evaluate_value(context, value)
        for name, value in parameters.items()
    }


def _evaluate_value(context: LaunchContext, value: Any) -> Any:
    if isinstance(value, ParameterValue):
        value = value.evaluate(context)
        return tuple(value) if isinstance(value, list) else value
    if isinstance(value, tuple):
        return _check(_read_yaml(perform_substitutions(context, list(value))))
    if isinstance(value, list):
        elements = [
            _read_yaml(perform_substitutions(context, list(element))) if isinstance(element, tuple) else element
            for element in value
        ]
        return _check(elements)
    return value


def _read_yaml(text: str) -> Any:
    import yaml

    value = yaml.safe_load(text)
    return "" if value is None else value


def _check(value: Any) -> Any:
    """A scalar, or a tuple of one type; TypeError otherwise."""
    if isinstance(value, list):
        kinds = {type(element) for element in value}
        if len(kinds) != 1 or not kinds <= set(SCALARS):
            raise TypeError(
                "Expected a non-empty sequence, with items of uniform type. Allowed sequence item types are bool, "
                f"int, float, str, got {value!r}"
            )
        return tuple(value)
    if type(value) not in SCALARS:
        raise TypeError(
            f"Allowed value types are bool, int, float, str and lists of one of them, got {value!r} of type "
            f"'{type(value).__name__}'"
        )
    return value
