"""Events of ROS nodes; those of lifecycle nodes are in `launch_ros.events.lifecycle`."""

from .matchers import matches_node_name

__all__ = ["matches_node_name"]
