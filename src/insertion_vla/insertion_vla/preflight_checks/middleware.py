"""The ROS middleware that the environment names, looked at before rclpy is imported: rcl ends a process without it."""

import os

from ament_index_python import get_resources

from insertion_vla.preflight_checks.finding import Finding

VARIABLE = "RMW_IMPLEMENTATION"


def check_middleware() -> list[Finding]:
    """A row when it is not installed; none when it is, for the row of the DDS domain names it."""
    wanted = os.environ.get(VARIABLE, "")
    installed = sorted(set(get_resources("rmw_typesupport")) - {"rmw_implementation"})
    if not wanted or wanted in installed:
        return []
    fix = f"unset {VARIABLE}, or install the package {wanted}; nothing else can be checked without it"
    return [Finding("middleware", "fix", f"{VARIABLE}={wanted} is not installed, only {', '.join(installed)}", fix)]
