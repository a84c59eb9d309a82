"""Events: what happens during a launch."""

from . import matchers, process
from .execution_complete import ExecutionComplete
from .include_launch_description import IncludeLaunchDescription
from .shutdown import Shutdown
from .timer_event import TimerEvent

__all__ = ["ExecutionComplete", "IncludeLaunchDescription", "Shutdown", "TimerEvent", "matchers", "process"]
