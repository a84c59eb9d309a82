"""Refuse to build where real ROS 2 packages are in reach; everything else is in pyproject.toml."""

import os
import sys

from setuptools import setup

MARKER = os.path.join("share", "ament_index", "resource_index", "packages")
SUPPLIED = (
    "launch",
    "launch_ros",
    "ros2cli",
    "message_filters",
    "diagnostic_updater",
    "cv_bridge",
    "rosbag2_py",
    "rosidl_runtime_py",
)


def real_packages() -> list[str]:
    """Folders of the sourced ament prefixes in which one of our names is a real package."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [
        f"{name} in {prefix}"
        for prefix in prefixes
        for name in SUPPLIED
        if os.path.exists(os.path.join(prefix, MARKER, name))
    ]


found = real_packages()
if found:
    sys.exit(
        f"expected no sourced ROS 2 distribution; found {', '.join(found)}: ros_on_pip must not stand in for the real "
        "packages. Use those, or open a shell in which no distribution is sourced."
    )
setup()
