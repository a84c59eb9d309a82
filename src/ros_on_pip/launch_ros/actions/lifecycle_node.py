"""Start a lifecycle node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.actions.emit_event import EmitEvent
from launch.actions.register_event_handler import RegisterEventHandler
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from ros2cli.wheels import enter_wheels_environment

from .node import Node

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class LifecycleNode(Node):
    """A Node that obeys ChangeState events and emits StateTransition events, see `launch_ros.events.lifecycle`.

    Args:
        name: node name, needed to reach the node's services.
        namespace: namespace, needed too (may be empty).
        autostart: configure the node, and activate it once it is inactive.
        **kwargs: see Node.
    """

    def __init__(
        self,
        *,
        name: SomeSubstitutionsType,
        namespace: SomeSubstitutionsType,
        autostart: bool | SomeSubstitutionsType = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, namespace=namespace, **kwargs)
        self.__autostart = normalize_typed_substitution(autostart, bool)
        enter_wheels_environment()

    @property
    def node_autostart(self) -> Any:
        return self.__autostart

    @property
    def is_lifecycle_node(self) -> bool:
        return True

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        from ..utilities.lifecycle_event_manager import LifecycleEventManager

        self._perform_substitutions(context)
        if not self.is_node_name_fully_specified():
            raise RuntimeError(f"node_name unexpectedly incomplete for lifecycle node: '{self.node_name}'")
        LifecycleEventManager(self).setup_lifecycle_manager(context)
        entities = super().execute(context) or []
        if perform_typed_substitution(context, self.__autostart, bool):
            entities = [*entities, *self.__autostart_entities()]
        return entities

    def __autostart_entities(self) -> list[LaunchDescriptionEntity]:
        from launch.events.matchers import matches_action
        from lifecycle_msgs.msg import Transition

        from ..event_handlers.on_state_transition import OnStateTransition
        from ..events.lifecycle.change_state import ChangeState

        def change(transition_id: int) -> EmitEvent:
            event = ChangeState(lifecycle_node_matcher=matches_action(self), transition_id=transition_id)
            return EmitEvent(event=event)

        activate = OnStateTransition(
            target_lifecycle_node=self,
            start_state="configuring",
            goal_state="inactive",
            entities=[change(Transition.TRANSITION_ACTIVATE)],
            handle_once=True,
        )
        return [RegisterEventHandler(activate), change(Transition.TRANSITION_CONFIGURE)]
