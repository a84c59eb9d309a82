"""Text to int, float, bool, str and lists of them, by YAML's rules, with or without a type asked for."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, List  # noqa: UP035  (typing.List is part of the interface)

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from .normalize_to_list_of_substitutions_impl import normalize_to_list_of_substitutions
from .perform_substitutions_impl import perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

ScalarTypesTuple = (int, float, bool, str)
ScalarTypesType = type[int] | type[float] | type[bool] | type[str]
ScalarValueType = int | float | bool | str
AllowedTypesTuple = (*ScalarTypesTuple, List[int], List[float], List[bool], List[str])  # noqa: UP006
AllowedTypesType = Any
AllowedValueType = ScalarValueType | list[int] | list[float] | list[bool] | list[str]
SomeValueType = AllowedValueType | SomeSubstitutionsType | list[ScalarValueType | SomeSubstitutionsType]
StrSomeValueType = SomeValueType
NormalizedValueType = AllowedValueType | list[Substitution] | list[ScalarValueType | list[Substitution]]


def is_typing_list(data_type: Any) -> bool:
    """True for typing.List and list[...], not for the class list."""
    return data_type is not list and typing.get_origin(data_type) is list


def is_valid_scalar_type(data_type: Any) -> bool:
    return data_type in ScalarTypesTuple


def extract_type(data_type: Any) -> tuple[type, bool]:
    """(element type, is it a list); ValueError for anything but a scalar type or a list of one."""
    inner, is_list = data_type, is_typing_list(data_type)
    if is_list:
        arguments = typing.get_args(data_type)
        inner = arguments[0] if len(arguments) == 1 else None
    if not is_valid_scalar_type(inner):
        raise ValueError(
            f"Unrecognized data type: {data_type}; expected int, float, bool, str or a typing.List of one of them"
        )
    return inner, is_list


def is_instance_of_valid_type(value: Any, can_be_str: bool = False) -> bool:
    """True for a scalar and for a list whose elements have one type (or that type and str)."""
    if not isinstance(value, list):
        return type(value) in ScalarTypesTuple
    kinds = {type(element) for element in value}
    if can_be_str and len(kinds) > 1:
        kinds.discard(str)
    return len(kinds) <= 1 and all(is_valid_scalar_type(kind) for kind in kinds)


def is_instance_of(value: Any, data_type: AllowedTypesType, can_be_str: bool = False) -> bool:
    """True if the value has exactly the type; a bool is no int."""
    if data_type is None:
        return is_instance_of_valid_type(value, can_be_str)
    inner, is_list = extract_type(data_type)
    allowed = (inner, str) if can_be_str else (inner,)
    if is_list:
        return isinstance(value, list) and all(type(element) in allowed for element in value)
    return type(value) in allowed


def coerce_to_type(value: str, data_type: AllowedTypesType = None, can_be_str: bool = False) -> Any:
    """Text read as YAML, or as the type asked for.

    Raises:
        TypeError: the value is no text.
        ValueError: the text does not read as the type, or as any allowed type.
    """
    import yaml

    if not isinstance(value, str):
        raise TypeError(f"expected a str to convert, got {value!r} of type {type(value)}")
    inner, is_list = (None, False) if data_type is None else extract_type(data_type)
    if inner is str and not is_list:
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"expected a YAML value, got '{value}': {error}") from error
    if inner is float and not is_list and not is_instance_of(read, float):
        read = float_or_self(read)
    if not is_instance_of(read, data_type, can_be_str):
        wanted = "a scalar or a list of one type" if data_type is None else f"'{data_type}'"
        raise ValueError(f"Cannot convert value '{value}' to {wanted}")
    return read


def float_or_self(read: Any) -> Any:
    """YAML reads `1` as an int and `1e-3` as text; asked for a float, both are one."""
    if type(read) in (int, str):
        try:
            return float(read)
        except ValueError:
            return read
    return read


def coerce_list(
    value: list[str],
    data_type: type | None = None,
    can_be_str: bool = False,
) -> list[Any]:
    """Each text converted; the results have one type."""
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise TypeError(f"expected a list of str to convert, got {value!r}")
    read = [coerce_to_type(element, data_type, can_be_str=can_be_str) for element in value]
    if not is_instance_of_valid_type(read, can_be_str):
        raise ValueError(f"Cannot convert {value} to a list of one type, got {read}")
    return read


def get_typed_value(value: Any, data_type: AllowedTypesType = None, can_be_str: bool = False) -> Any:
    """`coerce_to_type` for text, `coerce_list` for a list of texts."""
    if not isinstance(value, list):
        return coerce_to_type(value, data_type, can_be_str=can_be_str)
    inner, is_list = (None, True) if data_type is None else extract_type(data_type)
    if not is_list:
        raise TypeError(f"Cannot convert a list to a scalar: got {value}, expected '{data_type}'")
    return coerce_list(value, inner, can_be_str=can_be_str)


def is_substitution(x: Any) -> bool:
    """True for a substitution and for texts with at least one substitution among them."""
    if isinstance(x, Substitution):
        return True
    if isinstance(x, str) or not isinstance(x, Iterable):
        return False
    parts = list(x)
    return all(isinstance(part, (str, Substitution)) for part in parts) and any(
        isinstance(part, Substitution) for part in parts
    )


def is_normalized_substitution(x: Any) -> bool:
    return isinstance(x, list) and bool(x) and all(isinstance(part, Substitution) for part in x)


def normalize_typed_substitution(value: SomeValueType, data_type: AllowedTypesType) -> NormalizedValueType:
    """Substitutions in the value become lists of substitutions; what is plain must already have the type."""
    if data_type is not None:
        extract_type(data_type)
    if is_substitution(value):
        return normalize_to_list_of_substitutions(typing.cast(SomeSubstitutionsType, value))
    if isinstance(value, (list, tuple)):
        parts = [normalize_to_list_of_substitutions(v) if is_substitution(v) else v for v in value]
        plain = [part for part in parts if not isinstance(part, list)]
        if not is_instance_of(plain, data_type):
            raise TypeError(f"expected a list of substitutions or of values of type '{data_type}', got {value}")
        return parts
    if isinstance(value, str) and data_type not in (None, str) and not is_typing_list(data_type):
        return normalize_to_list_of_substitutions(value)
    if not is_instance_of(value, data_type):
        raise TypeError(f"expected a substitution or a value of type '{data_type}', got {value!r} of {type(value)}")
    return typing.cast(NormalizedValueType, value)


def perform_typed_substitution(
    context: LaunchContext,
    value: NormalizedValueType,
    data_type: AllowedTypesType,
) -> Any:
    """The value with its substitutions performed and converted to the type."""
    inner, is_list = (None, True) if data_type is None else extract_type(data_type)
    if is_normalized_substitution(value):
        return coerce_to_type(perform_substitutions(context, typing.cast(list, value)), data_type)
    if isinstance(value, list):
        if not is_list:
            raise TypeError(f"expected a value of type '{data_type}', got the list {value}")
        performed = [
            coerce_to_type(perform_substitutions(context, part), inner) if is_normalized_substitution(part) else part
            for part in value
        ]
        if not is_instance_of(performed, data_type):
            raise ValueError(f"expected a list of one type, got {performed}")
        return performed
    if not is_instance_of(value, data_type):
        raise TypeError(f"expected a value of type '{data_type}', got {value!r} of {type(value)}")
    return value
