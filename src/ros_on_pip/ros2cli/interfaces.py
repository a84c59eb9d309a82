"""Interface types and their values as given on a command line."""

from typing import Any

import yaml
from rosidl_runtime_py import set_message_fields
from rosidl_runtime_py.utilities import get_action, get_message, get_service

from ros2cli.errors import CommandError

_GETTERS = {"message": get_message, "service": get_service, "action": get_action}
_EXAMPLES = {
    "message": "std_msgs/msg/String",
    "service": "std_srvs/srv/Trigger",
    "action": "example_interfaces/action/Fibonacci",
}


def load_type(kind: str, name: str) -> Any:
    """The class of a message, service or action type; raises CommandError if it is not installed."""
    try:
        return _GETTERS[kind](name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CommandError(
            f"unknown {kind} type '{name}'; expected a name like '{_EXAMPLES[kind]}' of an installed package "
            "(is its workspace sourced?)"
        ) from error


def fill(message: Any, text: str, stamps: bool = False) -> list[Any]:
    """Set a message's fields from YAML text; returns setters for stamps given as 'auto' or 'now'."""
    try:
        values = yaml.safe_load(text) or {}
        return set_message_fields(message, values, expand_header_auto=stamps, expand_time_now=stamps)
    except yaml.YAMLError as error:
        raise CommandError(f"expected YAML such as \"{{field: value}}\", got '{text}'") from error
    except (TypeError, ValueError, AttributeError, AssertionError) as error:
        raise CommandError(
            f"these values do not fit {type(message).__name__}: {' '.join(str(error).split())}"
        ) from error
