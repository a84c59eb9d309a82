"""Run-time helpers for generated interfaces: look up by name, print, fill from plain values."""

from rosidl_runtime_py.convert import get_message_slot_types, message_to_csv, message_to_ordereddict, message_to_yaml
from rosidl_runtime_py.set_message import set_message_fields

__all__ = [
    "get_message_slot_types",
    "message_to_csv",
    "message_to_ordereddict",
    "message_to_yaml",
    "set_message_fields",
]
