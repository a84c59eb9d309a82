"""A managed node seen from outside: its lifecycle services with bounded waits, and its transitions as they happen."""

import threading
import time
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import State, Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import CallbackGroup
from rclpy.client import Client
from rclpy.node import Node
from rclpy.qos import QoSProfile

CONFIGURE = Transition.TRANSITION_CONFIGURE
CLEANUP = Transition.TRANSITION_CLEANUP
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = "unconfigured", "inactive", "active", "finalized"
UNKNOWN = "unknown"
_PRIMARY = {
    State.PRIMARY_STATE_UNCONFIGURED,
    State.PRIMARY_STATE_INACTIVE,
    State.PRIMARY_STATE_ACTIVE,
    State.PRIMARY_STATE_FINALIZED,
}


class Call:
    """A service call under way. The executor that spins the node delivers the reply; any other thread may wait."""

    def __init__(self, client: Client, request: Any) -> None:
        self._client = client
        self._done = threading.Event()
        self._future = client.call_async(request)
        self._future.add_done_callback(lambda _: self._done.set())

    def result(self, deadline_s: float) -> Any | None:
        """The reply, or None when there is none by the deadline (time.monotonic) or the call was abandoned."""
        self._done.wait(max(0.0, deadline_s - time.monotonic()))
        if not self._future.done():
            self._client.remove_pending_request(self._future)
            return None
        return self._future.result()

    def abandon(self) -> None:
        """Ends the wait of `result` without a reply."""
        self._done.set()


class ManagedPeer:
    """One managed node: its last known state, and calls to its lifecycle services.

    Attributes:
        name: Node name, relative to the manager's namespace.
        label: Last known primary state ("unknown" until the node answered).
        closed: Nothing delivers replies any more.
        arrivals: How often a state was entered since `expect`, by label: two for one request means two nodes.
    """

    def __init__(
        self, node: Node, name: str, group: CallbackGroup, on_transition: Callable[["ManagedPeer"], None]
    ) -> None:
        self.name = name
        self.label = UNKNOWN
        self.arrivals: dict[str, int] = {}
        self._on_transition = on_transition
        self.closed = False
        self._calls: list[Call] = []
        self._change = node.create_client(ChangeState, f"{name}/change_state", callback_group=group)
        self._get = node.create_client(GetState, f"{name}/get_state", callback_group=group)
        node.create_subscription(
            TransitionEvent, f"{name}/transition_event", self._event, QoSProfile(depth=20), callback_group=group
        )

    def present(self) -> bool:
        """Whether the node's services can be called."""
        return self._change.service_is_ready() and self._get.service_is_ready()

    def ask_state(self) -> Call:
        """Asks for the state; pass the reply to `take_state`."""
        return self._call(self._get, GetState.Request())

    def take_state(self, reply: GetState.Response | None) -> bool:
        """Takes the answer to `ask_state`; False when there was none."""
        if reply is None:
            return False
        self.label = reply.current_state.label
        return True

    def ask_change(self, transition: int) -> Call:
        """Requests a transition."""
        self.arrivals = {}
        return self._call(self._change, ChangeState.Request(transition=Transition(id=transition)))

    def close(self) -> None:
        """Ends every wait for this node, now and in future: nothing delivers replies any more."""
        self.closed = True
        for call in self._calls:
            call.abandon()

    def _call(self, client: Client, request: Any) -> Call:
        call = Call(client, request)
        self._calls = [*self._calls[-1:], call]  # no more than two are under way
        if self.closed:
            call.abandon()
        return call

    def _event(self, event: TransitionEvent) -> None:
        if event.goal_state.id not in _PRIMARY:
            return
        self.label = event.goal_state.label
        self.arrivals[self.label] = self.arrivals.get(self.label, 0) + 1
        self._on_transition(self)
