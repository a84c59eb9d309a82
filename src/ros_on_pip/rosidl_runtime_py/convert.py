"""Messages as ordered dictionaries, YAML and CSV."""

import array
import sys
from collections import OrderedDict
from typing import Any

import numpy as np
import yaml
from rosidl_parser.definition import AbstractNestedType, NamespacedType

ELLIPSIS = "..."


class _Dumper(yaml.SafeDumper):
    """Block style, keys in message order."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    OrderedDict, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data.items())
)


def get_message_slot_types(msg: Any) -> "OrderedDict[str, Any]":
    """Field name to its parsed type, in message order."""
    return OrderedDict(zip(msg.get_fields_and_field_types(), msg.SLOT_TYPES, strict=True))


def message_to_yaml(
    msg: Any,
    *,
    truncate_length: int | None = None,
    no_arr: bool = False,
    no_str: bool = False,
    flow_style: bool = False,
) -> str:
    """YAML of a message; long arrays and strings are cut after `truncate_length` elements."""
    plain = message_to_ordereddict(msg, truncate_length=truncate_length, no_arr=no_arr, no_str=no_str)
    return yaml.dump(plain, Dumper=_Dumper, allow_unicode=True, width=sys.maxsize, default_flow_style=flow_style)


def message_to_csv(msg: Any, *, truncate_length: int | None = None, no_arr: bool = False, no_str: bool = False) -> str:
    """All values of a message in field order, separated by commas."""
    return ",".join(_flat(message_to_ordereddict(msg, truncate_length=truncate_length, no_arr=no_arr, no_str=no_str)))


def message_to_ordereddict(
    msg: Any, *, truncate_length: int | None = None, no_arr: bool = False, no_str: bool = False
) -> "OrderedDict[str, Any]":
    """Plain values of a message, nested, in field order."""
    types = msg.get_fields_and_field_types()
    return OrderedDict(
        (name, plain_value(getattr(msg, name), types[name], slot, truncate_length, no_arr, no_str))
        for name, slot in get_message_slot_types(msg).items()
    )


def plain_value(
    value: Any,
    type_name: str = "",
    slot: Any = None,
    truncate_length: int | None = None,
    no_arr: bool = False,
    no_str: bool = False,
) -> Any:
    """One field's value as numbers, strings, lists and ordered dictionaries."""
    if isinstance(value, (list, tuple, array.array, np.ndarray)) or isinstance(slot, AbstractNestedType):
        return _plain_array(value, type_name, slot, truncate_length, no_arr, no_str)
    if isinstance(value, str):
        if no_str:
            return f"<string length: <{len(value)}>>"
        return _cut(value, truncate_length)
    if isinstance(value, bytes):
        # A single octet (`byte`) arrives as bytes of length one.
        return value[0] if len(value) == 1 else list(value)
    if hasattr(value, "get_fields_and_field_types"):
        return message_to_ordereddict(value, truncate_length=truncate_length, no_arr=no_arr, no_str=no_str)
    return value.item() if isinstance(value, np.generic) else value


def _plain_array(value: Any, type_name: str, slot: Any, truncate_length: int | None, no_arr: bool, no_str: bool) -> Any:
    if no_arr:
        element, _, size = type_name.removeprefix("sequence<").rstrip(">]").replace("[", ",").partition(",")
        bound = f"[{size.strip()}]" if size else ""
        if type_name.endswith("]"):
            return f"<array type: {element}{bound}>"
        return f"<sequence type: {element}{bound}, length: {len(value)}>"
    shown = value if truncate_length is None else value[:truncate_length]
    element_slot = getattr(slot, "value_type", None)
    if isinstance(shown, (array.array, np.ndarray)):
        plain = shown.tolist()
    elif isinstance(shown, bytes):
        plain = list(shown)
    elif isinstance(element_slot, NamespacedType) or any(not isinstance(e, (bool, int, float)) for e in shown):
        plain = [plain_value(e, "", None, truncate_length, no_arr, no_str) for e in shown]
    else:
        plain = list(shown)
    if len(shown) < len(value):
        plain.append(ELLIPSIS)
    return plain


def _cut(text: str, truncate_length: int | None) -> str:
    if truncate_length is None or len(text) <= truncate_length:
        return text
    return text[:truncate_length] + ELLIPSIS


def _flat(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for element in value.values() for text in _flat(element)]
    if isinstance(value, list):
        return [text for element in value for text in _flat(element)]
    return [str(value)]
