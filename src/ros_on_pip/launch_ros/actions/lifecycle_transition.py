"""Take lifecycle nodes through transitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.actions.emit_event import EmitEvent
from launch.actions.register_event_handler import RegisterEventHandler
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from ros2cli.wheels import enter_wheels_environment

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

# Labels of the state that a successful transition leads to, by the transition's number.
GOAL_STATES = {
    1: "inactive",
    2: "unconfigured",
    3: "active",
    4: "inactive",
    5: "finalized",
    6: "finalized",
    7: "finalized",
}


class LifecycleTransition(Action):
    """Asks each node for the transitions, one after the other, each when the one before has succeeded.

    Args:
        lifecycle_node_names: names of LifecycleNode actions of this launch.
        transition_ids: constants of lifecycle_msgs.msg.Transition.
    """

    def __init__(
        self,
        *,
        lifecycle_node_names: Iterable[SomeSubstitutionsType],
        transition_ids: Iterable[int | SomeSubstitutionsType] | None = None,
        transitions_ids: Iterable[int | SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__names = [normalize_to_list_of_substitutions(name) for name in lifecycle_node_names]
        ids = transition_ids if transition_ids is not None else transitions_ids or ()
        self.__ids = [normalize_to_list_of_substitutions(str(i) if isinstance(i, int) else i) for i in ids]
        if not self.__names:
            raise ValueError("expected names of lifecycle nodes, got none")
        if not self.__ids:
            raise ValueError("expected numbers of transitions, got none")
        enter_wheels_environment()

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        names = [perform_substitutions(context, name) for name in self.__names]
        ids = [int(perform_substitutions(context, number)) for number in self.__ids]
        entities: list[LaunchDescriptionEntity] = []
        for name in names:
            entities += self.__chain(name, ids)
        return entities

    def __chain(self, name: str, ids: list[int]) -> list[LaunchDescriptionEntity]:
        from ..event_handlers.on_state_transition import OnStateTransition
        from ..events.lifecycle import ChangeState, StateTransition, matches_node_name

        is_node = matches_node_name(name)
        emits = [EmitEvent(event=ChangeState(lifecycle_node_matcher=is_node, transition_id=i)) for i in ids]
        # From the last to the first: each transition's success registers the wait for the next one and asks for it.
        following: list[LaunchDescriptionEntity] = []
        for emit, number in zip(reversed(emits), reversed(ids), strict=True):
            goal = GOAL_STATES.get(number)
            handler = OnStateTransition(
                matcher=lambda event, goal=goal: (
                    isinstance(event, StateTransition)  # type: ignore[misc]
                    and is_node(event.action)
                    and event.goal_state == goal
                ),
                entities=following,
                handle_once=True,
            )
            following = [RegisterEventHandler(handler), emit]
        return following
