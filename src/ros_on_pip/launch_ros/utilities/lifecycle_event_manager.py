"""Carries out ChangeState events of one lifecycle node, and emits its StateTransition events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import launch.logging
from launch.actions import OpaqueFunction
from launch.event_handler import EventHandler
from lifecycle_msgs.msg import TransitionEvent
from lifecycle_msgs.srv import ChangeState as ChangeStateService

from ..events.lifecycle import ChangeState, StateTransition
from ..ros_adapters import get_ros_node

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

POLL_S = 0.05
# How long to wait for the node's transition events before a transition is asked for all the same.
SUBSCRIPTION_S = 2.0


class LifecycleEventManager:
    """Between the launch's events and the services and topics of a lifecycle node (any action with `node_name`)."""

    def __init__(self, lifecycle_node: Any) -> None:
        self.__lifecycle_node = lifecycle_node
        self.__logger = launch.logging.get_logger(__name__)
        self.__subscription: Any = None
        self.__client: Any = None

    @property
    def node_name(self) -> str:
        return self.__lifecycle_node.node_name

    def setup_lifecycle_manager(self, context: LaunchContext) -> None:
        node = get_ros_node(context)

        def on_transition(msg: TransitionEvent) -> None:
            context.emit_event_sync(StateTransition(action=self.__lifecycle_node, msg=msg))

        self.__subscription = node.create_subscription(
            TransitionEvent, f"{self.node_name}/transition_event", on_transition, 10
        )
        self.__client = node.create_client(ChangeStateService, f"{self.node_name}/change_state")
        context.register_event_handler(
            EventHandler(
                matcher=lambda event: (
                    isinstance(event, ChangeState) and event.lifecycle_node_matcher(self.__lifecycle_node)
                ),
                entities=[OpaqueFunction(function=self.__on_change_state)],
            )
        )

    def __on_change_state(self, context: LaunchContext) -> None:
        assert context.asyncio_loop is not None
        change = self.__change_state(context, context.locals.event.transition_id)
        context.add_completion_future(context.asyncio_loop.create_task(change))

    async def __change_state(self, context: LaunchContext, transition_id: int) -> None:
        """Ask for the transition as soon as the node is there; given up when the launch ends."""
        if not await self.__until(context, self.__client.service_is_ready, "the service"):
            return
        # Without the subscription in place, the event that others wait for would be missed.
        deadline = time.monotonic() + SUBSCRIPTION_S
        if not await self.__until(
            context,
            lambda: self.__subscription.get_publisher_count() > 0 or time.monotonic() > deadline,
            "the transition events of the service",
        ):
            return
        request = ChangeStateService.Request()
        request.transition.id = transition_id
        response = self.__client.call_async(request)
        if not await self.__until(context, response.done, "a response of the service"):
            return
        if not response.result().success:
            self.__logger.error(
                f"Failed to make transition '{ChangeState.valid_transitions[transition_id]}' for LifecycleNode "
                f"'{self.node_name}'"
            )

    async def __until(self, context: LaunchContext, condition: Callable[[], bool], what: str) -> bool:
        """Wait for the condition; False, with a warning, once the launch ends (and its ROS node with it)."""
        while not context.is_shutdown:
            if condition():
                return True
            await asyncio.sleep(POLL_S)
        self.__logger.warning(f"Abandoning wait for {what} '{self.node_name}/change_state', due to shutdown.")
        return False
