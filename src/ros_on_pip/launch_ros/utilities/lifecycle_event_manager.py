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
from lifecycle_msgs.srv import GetState

from ..events.lifecycle import ChangeState, StateTransition
from ..ros_adapters import get_ros_node

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

POLL_S = 0.05
# After this time a question that has not been answered is put again.
ANSWER_S = 0.5


class LifecycleEventManager:
    """Between the launch's events and the services and topics of a lifecycle node (any action with `node_name`)."""

    def __init__(self, lifecycle_node: Any) -> None:
        self.__lifecycle_node = lifecycle_node
        self.__logger = launch.logging.get_logger(__name__)
        self.__subscription: Any = None
        self.__client: Any = None
        self.__state_client: Any = None

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
        # The last of the three: DDS announces them in their order, so the node that answers it knows them all.
        self.__state_client = node.create_client(GetState, f"{self.node_name}/get_state")
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
        if not await self.__known_to_the_node(context):
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

    async def __known_to_the_node(self, context: LaunchContext) -> bool:
        """Wait until the node knows our endpoints: before, its response and its transition event could be lost."""
        answered = None
        while answered is None or not answered.done():
            answered = self.__state_client.call_async(GetState.Request())
            deadline = time.monotonic() + ANSWER_S
            pause_over = await self.__until(
                context,
                lambda answered=answered, deadline=deadline: answered.done() or time.monotonic() > deadline,
                "an answer of the node of",
            )
            if not pause_over:
                return False
            if not answered.done():
                self.__state_client.remove_pending_request(answered)
        return await self.__until(context, lambda: self.__subscription.get_publisher_count() > 0, "the publisher of")

    async def __until(self, context: LaunchContext, condition: Callable[[], bool], what: str) -> bool:
        """Wait for the condition; False, with a warning, once the launch ends (and its ROS node with it)."""
        while not context.is_shutdown:
            if condition():
                return True
            await asyncio.sleep(POLL_S)
        self.__logger.warning(f"Abandoning wait for {what} '{self.node_name}/change_state', due to shutdown.")
        return False
