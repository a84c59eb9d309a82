"""ROS nodes in launch files.

The subset of ROS 2's `launch_ros` package that is listed in src/ros_on_pip/README.md, for machines without a ROS 2
distribution. Importing it does not import rclpy.
"""

from . import actions, descriptions, parameters_type, substitutions, utilities

__all__ = ["actions", "descriptions", "parameters_type", "substitutions", "utilities"]
