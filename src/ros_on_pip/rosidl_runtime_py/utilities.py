"""Interface classes by their ROS names, such as `std_msgs/msg/String`."""

import importlib
from typing import Any

from rosidl_runtime_py.import_message import import_message_from_namespaced_type

__all__ = [
    "get_action",
    "get_interface",
    "get_message",
    "get_service",
    "import_message_from_namespaced_type",
    "is_action",
    "is_message",
    "is_service",
]


def get_interface(identifier: str) -> Any:
    """The class named by `package/kind/Name`.

    Raises:
        ValueError: The name has no such form.
        ModuleNotFoundError, AttributeError: No such package, or no such interface in it.
    """
    parts = identifier.split("/")
    if len(parts) < 2 or not all(parts):
        raise ValueError(f"expected an interface name like 'std_msgs/msg/String', got '{identifier}'")
    return getattr(importlib.import_module(".".join(parts[:-1])), parts[-1])


def is_message(interface: Any) -> bool:
    return hasattr(interface, "SLOT_TYPES")


def is_service(interface: Any) -> bool:
    return hasattr(interface, "Request") and hasattr(interface, "Response")


def is_action(interface: Any) -> bool:
    return all(hasattr(interface, part) for part in ("Goal", "Result", "Feedback"))


def _get(identifier: str, kind: str, matches: Any) -> Any:
    parts = identifier.split("/")
    # `std_msgs/String` is short for `std_msgs/msg/String`.
    interface = get_interface("/".join([parts[0], kind, parts[1]]) if len(parts) == 2 else identifier)
    if not matches(interface):
        raise ValueError(f"expected the name of a {kind} type, got '{identifier}'")
    return interface


def get_message(identifier: str) -> Any:
    """The message class, for example of `std_msgs/msg/String`."""
    return _get(identifier, "msg", is_message)


def get_service(identifier: str) -> Any:
    """The service class, for example of `std_srvs/srv/Trigger`."""
    return _get(identifier, "srv", is_service)


def get_action(identifier: str) -> Any:
    """The action class, for example of `my_interfaces/action/Move`."""
    return _get(identifier, "action", is_action)
