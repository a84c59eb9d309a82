"""Rules of ROS names, checked before a node is started with them (rclpy has them too, but is slow to import)."""

from __future__ import annotations

import re

MAX_LENGTH = 255


def validate_node_name(name: str) -> None:
    """ValueError unless it is letters, digits and underscores, without a digit at the start."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or len(name) > MAX_LENGTH:
        raise ValueError(
            f"Invalid node name '{name}': expected letters, digits and underscores, not starting with a digit, "
            f"at most {MAX_LENGTH} characters"
        )


def validate_namespace(namespace: str) -> None:
    """ValueError unless it is absolute, of parts like node names."""
    if namespace != "/" and not re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)+", namespace):
        raise ValueError(
            f"Invalid namespace '{namespace}': expected parts of letters, digits and underscores, not starting with "
            "a digit, separated by single slashes"
        )
