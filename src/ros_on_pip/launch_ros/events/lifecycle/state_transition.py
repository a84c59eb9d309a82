"""A lifecycle node has changed its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.event import Event

if TYPE_CHECKING:
    from ...actions.lifecycle_node import LifecycleNode


class StateTransition(Event):
    """What the node published on its topic `~/transition_event`."""

    name = "launch_ros.events.lifecycle.StateTransition"

    def __init__(self, *, action: LifecycleNode, msg: Any) -> None:
        super().__init__()
        self.__action = action
        self.__msg = msg

    @property
    def action(self) -> LifecycleNode:
        return self.__action

    @property
    def msg(self) -> Any:
        return self.__msg

    @property
    def timestamp(self) -> int:
        return self.__msg.timestamp

    @property
    def transition(self) -> str:
        """Label, such as 'activate'."""
        return self.__msg.transition.label

    @property
    def start_state(self) -> str:
        """Label, such as 'inactive'."""
        return self.__msg.start_state.label

    @property
    def goal_state(self) -> str:
        """Label, such as 'active'."""
        return self.__msg.goal_state.label
