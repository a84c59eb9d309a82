"""Parameters as they are given to a node, checked and brought into one form."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions
from launch.utilities.type_utils import is_substitution

from ..parameter_descriptions import Parameter, ParameterFile, ParameterValue
from ..parameters_type import Parameters, ParametersDict

SCALARS = (bool, int, float, str)


def normalize_parameters(parameters: Any) -> Parameters:
    """A list of files (paths, texts, substitutions, ParameterFile), dictionaries and Parameter descriptions.

    Raises:
        TypeError: it is not a list, or an element is none of these, or a dictionary's entry cannot be a parameter.
    """
    if isinstance(parameters, (str, bytes)) or not isinstance(parameters, Sequence):
        raise TypeError(
            f"Expecting list of parameters, got '{type(parameters).__name__}' instead: put the parameters in a list"
        )
    return [_normalize_one(parameter) for parameter in parameters]


def _normalize_one(parameter: Any) -> Any:
    if isinstance(parameter, Mapping):
        return normalize_parameter_dict(parameter)
    if isinstance(parameter, (Parameter, ParameterFile)):
        return parameter
    textual = isinstance(parameter, (str, os.PathLike, Substitution)) or is_substitution(parameter)
    if textual or (isinstance(parameter, Sequence) and all(isinstance(part, str) for part in parameter)):
        return ParameterFile(parameter)
    raise TypeError(
        f"Expected a file name, a dictionary or a parameter description among the parameters, got {parameter!r} "
        f"of type '{type(parameter).__name__}'"
    )


def normalize_parameter_dict(parameters: Mapping[Any, Any], *, _prefix: Sequence[Substitution] = ()) -> ParametersDict:
    """Flat: the names of nested dictionaries are joined by dots."""
    if not isinstance(parameters, Mapping):
        raise TypeError(f"expected a dictionary of parameters, got {parameters!r}")
    normalized: ParametersDict = {}
    for name, value in parameters.items():
        key = _normalize_name(name)
        if _prefix:
            key = (*_prefix, *normalize_to_list_of_substitutions("."), *key)
        if isinstance(value, Mapping):
            normalized.update(normalize_parameter_dict(value, _prefix=key))
        else:
            normalized[key] = normalize_value(value)
    return normalized


def _normalize_name(name: Any) -> tuple[Substitution, ...]:
    if not isinstance(name, (str, Substitution)) and not (isinstance(name, tuple) and name):
        raise TypeError(
            f"expected the name of a parameter to be a str, a substitution or a tuple of them, got {name!r}"
        )
    return tuple(normalize_to_list_of_substitutions(name))


def normalize_value(value: Any) -> Any:
    """A plain value, a ParameterValue, a tuple of substitutions (one text), or a list of plain values and tuples."""
    if isinstance(value, (*SCALARS, bytes, ParameterValue)):
        return value
    if is_substitution(value):
        return tuple(normalize_to_list_of_substitutions(value))
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _normalize_sequence(value)
    raise TypeError(
        f"Unexpected type for parameter value {value!r}: expected a bool, int, float, str, bytes, substitutions, a "
        f"list of one of them, a ParameterValue or a dictionary, got '{type(value).__name__}'"
    )


def _normalize_sequence(value: Sequence[Any]) -> list[Any]:
    elements: list[Any] = [
        tuple(normalize_to_list_of_substitutions(element)) if is_substitution(element) else element for element in value
    ]
    plain = [element for element in elements if not isinstance(element, tuple)]
    kinds = {type(element) for element in plain}
    if kinds == {int, float}:
        return [float(element) if type(element) is int else element for element in elements]
    if not elements or len(kinds) > 1 or not kinds <= set(SCALARS):
        raise TypeError(
            "Expected a non-empty sequence, with items of uniform type. Allowed sequence item types are bool, int, "
            f"float, str, got {value!r}"
        )
    return elements
