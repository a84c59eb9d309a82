"""Actions that start and set up ROS nodes."""

from typing import Any

from ..unsupported import refuse
from .lifecycle_node import LifecycleNode
from .lifecycle_transition import LifecycleTransition
from .node import Node
from .push_ros_namespace import PushROSNamespace, PushRosNamespace
from .ros_timer import RosTimer
from .set_parameter import SetParameter
from .set_parameters_from_file import SetParametersFromFile
from .set_remap import SetRemap
from .set_use_sim_time import SetUseSimTime

__all__ = [
    "LifecycleNode",
    "LifecycleTransition",
    "Node",
    "PushROSNamespace",
    "PushRosNamespace",
    "RosTimer",
    "SetParameter",
    "SetParametersFromFile",
    "SetRemap",
    "SetUseSimTime",
]


def __getattr__(name: str) -> Any:
    raise refuse(__name__, name)
