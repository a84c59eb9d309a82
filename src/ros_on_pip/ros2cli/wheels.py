"""The environment that the ROS 2 wheels need."""

import importlib.util

BOOTSTRAPPER = "ros_wheels_bootstrapper"


def enter_wheels_environment() -> None:
    """Restart this Python once with the library path of the wheels, if they are installed and it is not set.

    The wheels do it whenever rclpy is first imported. A program that starts processes does it before, so as not to
    lose them.
    """
    if importlib.util.find_spec(BOOTSTRAPPER) is not None:
        importlib.import_module(BOOTSTRAPPER)
