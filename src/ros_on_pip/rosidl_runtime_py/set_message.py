"""Fill a message from plain values, as typed on a command line or read from YAML."""

import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from rosidl_parser.definition import AbstractNestedType, NamespacedType

from rosidl_runtime_py.import_message import import_message_from_namespaced_type


def set_message_fields(
    msg: Any, values: Any, expand_header_auto: bool = False, expand_time_now: bool = False
) -> list[Any]:
    """Set the named fields of `msg`, converting numbers, lists and nested mappings to the fields' types.

    Args:
        msg: A message, request or goal.
        values: Mapping from field name to value.
        expand_header_auto: The value 'auto' of a std_msgs/Header field is remembered for the caller to stamp.
        expand_time_now: The value 'now' of a builtin_interfaces/Time field likewise.

    Returns:
        One setter per remembered field; call each with a builtin_interfaces/Time when the message is sent.

    Raises:
        TypeError: `values` is no mapping where a message is expected.
        AttributeError: The message has no such field.
    """
    setters: list[Any] = []
    _fill(msg, values, expand_header_auto, expand_time_now, setters)
    return setters


def _fill(msg: Any, values: Any, header_auto: bool, time_now: bool, setters: list[Any]) -> None:
    name = type(msg).__name__
    if not isinstance(values, Mapping):
        raise TypeError(f"expected a mapping with fields of {name}, got {values!r}")
    slots = dict(zip(msg.get_fields_and_field_types(), msg.SLOT_TYPES, strict=True))
    for field, value in values.items():
        if field not in slots:
            raise AttributeError(f"{name} has no field '{field}'; its fields are {', '.join(slots) or 'none'}")
        slot = slots[field]
        if isinstance(slot, NamespacedType):
            _fill_nested(msg, field, slot, value, header_auto, time_now, setters)
        elif isinstance(slot, AbstractNestedType):
            setattr(msg, field, _array(getattr(msg, field), slot, value, header_auto, time_now, setters))
        else:
            setattr(msg, field, _basic(getattr(msg, field), value))


def _fill_nested(
    msg: Any, field: str, slot: NamespacedType, value: Any, header_auto: bool, time_now: bool, setters: list[Any]
) -> None:
    full_name = (*slot.namespaces, slot.name)
    child = getattr(msg, field)
    if header_auto and value == "auto" and full_name == ("std_msgs", "msg", "Header"):
        setters.append(lambda stamp, header=child: setattr(header, "stamp", stamp))
    elif time_now and value == "now" and full_name == ("builtin_interfaces", "msg", "Time"):
        setters.append(lambda stamp, owner=msg, name=field: setattr(owner, name, stamp))
    elif isinstance(value, import_message_from_namespaced_type(slot)):
        setattr(msg, field, value)
    else:
        _fill(child, {} if value is None else value, header_auto, time_now, setters)


def _array(current: Any, slot: AbstractNestedType, value: Any, header_auto: bool, time_now: bool, setters: list) -> Any:
    element = slot.value_type
    if isinstance(element, NamespacedType):
        message_class = import_message_from_namespaced_type(element)
        out = []
        for item in value:
            child = item if isinstance(item, message_class) else message_class()
            if child is not item:
                _fill(child, item, header_auto, time_now, setters)
            out.append(child)
        return out
    if isinstance(current, np.ndarray):
        return np.asarray(value, dtype=current.dtype)
    if isinstance(current, array.array):
        if isinstance(value, (bytes, bytearray)):
            return array.array(current.typecode, value)
        number = float if current.typecode in "fd" else int
        return array.array(current.typecode, [number(item) for item in value])
    if getattr(element, "typename", "") == "octet":
        return [item if isinstance(item, bytes) else bytes([int(item)]) for item in value]
    if getattr(element, "typename", "") == "boolean":
        return [bool(item) for item in value]
    return [str(item) for item in value]


def _basic(current: Any, value: Any) -> Any:
    """`value` in the type of the field's present value; text keeps what the user wrote for numbers."""
    if isinstance(current, bytes):
        return value if isinstance(value, bytes) else bytes([int(value)])
    if isinstance(current, bool):
        if not isinstance(value, (bool, int)):
            raise TypeError(f"expected true or false, got {value!r}")
        return bool(value)
    if isinstance(current, int):
        if int(value) != float(value):
            raise TypeError(f"expected a whole number, got {value!r}")
        return int(value)
    if isinstance(current, float):
        return float(value)
    return str(value)
