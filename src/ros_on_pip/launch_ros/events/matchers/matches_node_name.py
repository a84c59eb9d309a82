"""Match a node by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def matches_node_name(node_name: str) -> Callable[[Any], bool]:
    """Matches actions whose fully qualified node name it is; a missing slash at the start is added."""
    full_name = node_name if node_name.startswith("/") else f"/{node_name}"
    return lambda action: getattr(action, "node_name", None) == full_name
