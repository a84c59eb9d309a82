"""How often a node name has been used in a launch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

KEY = "unique_ros_node_names"


def add_node_name(context: LaunchContext, node_name: str) -> None:
    """Count a fully qualified name."""
    if not hasattr(context.locals, KEY):
        context.extend_globals({KEY: Counter()})
    getattr(context.locals, KEY)[node_name] += 1


def get_node_name_count(context: LaunchContext, node_name: str) -> int:
    return getattr(context.locals, KEY)[node_name] if hasattr(context.locals, KEY) else 0
