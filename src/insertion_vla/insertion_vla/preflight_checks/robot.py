"""The robot of the launch, by its kind."""

from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.meca500 import check_meca500
from insertion_vla.preflight_checks.ros2_control import check_ros2_control
from insertion_vla.preflight_checks.selection import Selection


def check_robot(selection: Selection) -> list[Finding]:
    """Reaches the robot without moving it."""
    p = selection.parameters("arm")
    return check_ros2_control(selection) if p.backend == "ros2_control" else check_meca500(p.meca500.address)
