"""Lifecycle nodes are to change their state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from launch.event import Event
from lifecycle_msgs.msg import Transition

if TYPE_CHECKING:
    from ...actions.lifecycle_node import LifecycleNode

VALID_TRANSITIONS = {
    number: name
    for name in (
        "TRANSITION_CREATE",
        "TRANSITION_CONFIGURE",
        "TRANSITION_CLEANUP",
        "TRANSITION_ACTIVATE",
        "TRANSITION_DEACTIVATE",
        "TRANSITION_UNCONFIGURED_SHUTDOWN",
        "TRANSITION_INACTIVE_SHUTDOWN",
        "TRANSITION_ACTIVE_SHUTDOWN",
        "TRANSITION_DESTROY",
    )
    if (number := getattr(Transition, name, None)) is not None
}


class ChangeState(Event):
    """Asks the lifecycle nodes that the matcher accepts for a transition."""

    name = "launch_ros.events.lifecycle.ChangeState"
    valid_transitions = VALID_TRANSITIONS

    def __init__(self, *, lifecycle_node_matcher: Callable[[LifecycleNode], bool], transition_id: int) -> None:
        super().__init__()
        if transition_id not in self.valid_transitions:
            known = ", ".join(f"{number} ({name})" for number, name in sorted(self.valid_transitions.items()))
            raise ValueError(f"expected a transition of {known}, got {transition_id!r}")
        self.__lifecycle_node_matcher = lifecycle_node_matcher
        self.__transition_id = transition_id

    @property
    def lifecycle_node_matcher(self) -> Callable[[LifecycleNode], bool]:
        return self.__lifecycle_node_matcher

    @property
    def transition_id(self) -> int:
        return self.__transition_id
