"""Helpers of the ROS actions."""

from typing import Any

from .evaluate_parameters import evaluate_parameter_dict, evaluate_parameters
from .namespace_utils import is_namespace_absolute, is_root_namespace, make_namespace_absolute, prefix_namespace
from .normalize_parameters import normalize_parameter_dict, normalize_parameters
from .normalize_remap_rule import normalize_remap_rule, normalize_remap_rules
from .track_node_names import add_node_name, get_node_name_count

__all__ = [
    "LifecycleEventManager",
    "add_node_name",
    "evaluate_parameter_dict",
    "evaluate_parameters",
    "get_node_name_count",
    "is_namespace_absolute",
    "is_root_namespace",
    "make_namespace_absolute",
    "normalize_parameter_dict",
    "normalize_parameters",
    "normalize_remap_rule",
    "normalize_remap_rules",
    "prefix_namespace",
]


def __getattr__(name: str) -> Any:
    """The manager of lifecycle events is imported on use: it needs the message packages."""
    if name == "LifecycleEventManager":
        from .lifecycle_event_manager import LifecycleEventManager

        return LifecycleEventManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
