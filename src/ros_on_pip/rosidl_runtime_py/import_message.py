"""Classes of nested message types."""

import importlib
from typing import Any

from rosidl_parser.definition import NamespacedType


def import_message_from_namespaced_type(message_type: NamespacedType) -> Any:
    """The Python class of a nested field's type, for example `geometry_msgs.msg.Point`."""
    module = importlib.import_module(".".join(message_type.namespaces))
    return getattr(module, message_type.name)
