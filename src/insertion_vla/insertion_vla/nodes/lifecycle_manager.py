"""Brings the managed nodes up in order, watches them, and takes them down in reverse.

subscribes: <node>/transition_event of every managed node; /rosout (the cause that a node logged when it refused)
publishes:  system/state (latched) on every change
services:   system/start, system/shutdown (Trigger); they answer when the work is done
calls:      <node>/get_state, <node>/change_state
parameters: see Parameters
on failure: a bring-up is all or nothing: what it changed is taken back and the reason names the node. A node that dies,
            leaves ACTIVE or stops answering makes the system DEGRADED. Nothing is ever brought back by itself: a
            respawned node stays inactive until a person calls system/start.
"""

import queue
import sys
import threading
from collections import Counter
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from pydantic import Field
from rcl_interfaces.msg import Log
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla.bring_up import Failure, Settings, bring_up, refresh, shut_down
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.managed_peer import ACTIVE, UNKNOWN, ManagedPeer
from insertion_vla.parameters import ParameterModel
from insertion_vla_interfaces.msg import SystemState

# A loaded machine may answer late: only this many unanswered questions in a row make a node count as dead.
SILENCES = 3


class Parameters(ParameterModel):
    """Parameters of the lifecycle manager."""

    node_names: list[str] = Field(
        default=["camera_front", "camera_side", "camera_hand", "force_sensor", "arm", "vlm", "action_expert", "task"],
        min_length=1,
        description="managed nodes in bring-up order, relative to this node's namespace",
    )
    autostart: bool = Field(default=True, description="bring the nodes up when this process starts")
    appear_timeout_s: float = Field(default=30.0, gt=0, le=600, description="[s] wait for a node's process to appear")
    transition_timeout_s: float = Field(default=20.0, gt=0, le=600, description="[s] wait for one transition")
    watch_period_s: float = Field(default=1.0, ge=0.1, le=10, description="[s] between questions to each node's state")


class LifecycleManager(ManagedNode):
    """Active as long as its process lives; the work is done in a thread that waits for replies."""

    NAME = "lifecycle_manager"
    Parameters = Parameters

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trigger_configure()
        if self.phase == "inactive":
            self.trigger_activate()
        if self.phase != "active":
            raise SystemExit(1)  # the reason was logged

    def setup(self) -> None:
        """Creates the services and a peer per managed node."""
        names = self.params.node_names
        doubled = [name for name, count in Counter(names).items() if count > 1]
        if doubled:
            raise ValueError(f"parameter 'node_names' names {', '.join(doubled)} twice: name each node once")
        self._state_pub = self.create_publisher(SystemState, "system/state", qos.SYSTEM)
        # Service calls that wait for their answer must not block what delivers it: everything here is reentrant.
        group = ReentrantCallbackGroup()
        self._peers = [ManagedPeer(self, name, group, self._transitioned) for name in names]
        self.create_subscription(Log, "/rosout", self._log, QoSProfile(depth=100), callback_group=group)
        self.create_service(Trigger, "system/start", self._on_start, callback_group=group)
        self.create_service(Trigger, "system/shutdown", self._on_shutdown, callback_group=group)
        self._commands: queue.Queue[tuple[str, Future | None]] = queue.Queue()
        self._interrupt = threading.Event()
        self._errors: dict[str, str] = {}
        self._silent: Counter[str] = Counter()
        self._missing: list[str] = []  # labels at the last report of DEGRADED
        self._state, self._reason = SystemState.DOWN, "not started"

    def start(self) -> None:
        """Starts the working thread, and the bring-up if wanted."""
        self._publish(SystemState.DOWN, "not started; call system/start")
        self._thread = threading.Thread(target=self._work, name="bring-up", daemon=True)
        self._thread.start()
        if self.params.autostart:
            self._commands.put(("start", None))

    def stop(self) -> None:
        """Ends the working thread; the managed nodes stay as they are (their own signals end them)."""
        self._interrupt.set()
        self._publish(SystemState.STOPPING, "the lifecycle manager ends")
        self._commands.put(("end", None))
        for peer in self._peers:
            peer.close()  # only the executor, which waits here, could deliver the replies
        self._thread.join()

    def interrupted(self) -> None:
        """Breaks off a bring-up under way; nodes that end now do so because the whole launch ends."""
        self._interrupt.set()

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        """Reports the system state and each node's."""
        if self._state == SystemState.DEGRADED:
            stat.summary(DiagnosticStatus.ERROR, self._reason)
        else:
            stat.summary(DiagnosticStatus.OK, self._reason)
        for peer in self._peers:
            stat.add(peer.name, peer.label)

    # Executor thread.

    async def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return await self._command("start", response)

    async def _on_shutdown(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._interrupt.set()  # a bring-up under way gives up first
        return await self._command("shutdown", response)

    async def _command(self, name: str, response: Trigger.Response) -> Trigger.Response:
        if self.phase != "active":
            response.success, response.message = False, f"the lifecycle manager is {self.phase}"
            return response
        done = Future(executor=self.executor)
        self._commands.put((name, done))
        response.success, response.message = await done
        return response

    def _transitioned(self, peer: ManagedPeer) -> None:
        if self._state == SystemState.ACTIVE and peer.label != ACTIVE and not self._interrupt.is_set():
            self._degraded(self._complaint(peer))

    def _log(self, message: Log) -> None:
        if message.level >= Log.ERROR:
            self._errors[message.name.split(".")[-1]] = message.msg.splitlines()[0]

    # Working thread.

    def _work(self) -> None:
        while True:
            try:
                name, done = self._commands.get(timeout=self.params.watch_period_s)
            except queue.Empty:
                self._watch()
                continue
            if name == "end":
                return
            answer = self._start_nodes() if name == "start" else self._stop_nodes()
            if done is not None:
                # Set from a task, so that the executor wakes up and sends the answer.
                self.executor.create_task(done.set_result, answer)

    def _start_nodes(self) -> tuple[bool, str]:
        if self._state == SystemState.ACTIVE:
            return True, self._reason  # no excursion to STARTING: it would end a running goal
        self._errors.clear()
        self._silent.clear()
        self._publish(SystemState.STARTING, "bring-up")
        try:
            bring_up(self._peers, self._settings(), self._interrupt, self._twins, self._cause, self._progress)
        except Failure as failure:
            if self._interrupt.is_set():
                self._publish(SystemState.DEGRADED, str(failure))  # a person wanted it so
            else:
                self._degraded(f"bring-up failed: {failure}")
            return False, str(failure)
        self._active()
        return True, self._reason

    def _stop_nodes(self) -> tuple[bool, str]:
        self._interrupt.clear()
        self._publish(SystemState.STOPPING, "shutting down")
        left = shut_down(self._peers, self._settings(), self._progress)
        if left:
            self._publish(SystemState.DEGRADED, f"{', '.join(left)} did not shut down")
            return False, self._reason
        self._publish(SystemState.DOWN, "shut down; call system/start to bring it up again")
        return True, self._reason

    def _watch(self) -> None:
        """Asks every node; names those that stopped answering or left ACTIVE, and says when all are back."""
        if self._state not in (SystemState.ACTIVE, SystemState.DEGRADED):
            return
        before = {peer.name: peer.label for peer in self._peers}
        silent = refresh(self._peers, self.params.watch_period_s)
        for peer in self._peers:
            if peer not in silent:
                self._silent[peer.name] = 0
                continue
            self._silent[peer.name] += 1
            if self._silent[peer.name] < SILENCES and peer.present():
                peer.label = before[peer.name]  # once is no proof
        wrong = [self._complaint(peer) for peer in self._peers if peer.label != ACTIVE]
        if self._interrupt.is_set():
            return
        if wrong and (self._state == SystemState.ACTIVE or self._missing != [p.label for p in self._peers]):
            self._degraded("; ".join(wrong))
        elif not wrong and self._state == SystemState.DEGRADED:
            self._active()

    def _degraded(self, reason: str) -> None:
        self._missing = [peer.label for peer in self._peers]
        self.get_logger().error(f"system is DEGRADED: {reason}")
        self._publish(SystemState.DEGRADED, reason)

    def _active(self) -> None:
        self.get_logger().info("system is ACTIVE")
        self._publish(SystemState.ACTIVE, f"{len(self._peers)} nodes active")

    def _complaint(self, peer: ManagedPeer) -> str:
        if peer.label == UNKNOWN:
            return f"{peer.name} does not answer: its process died or hangs"
        return f"{peer.name} is {peer.label}{self._cause(peer.name)}"

    def _settings(self) -> Settings:
        return Settings(self.params.appear_timeout_s, self.params.transition_timeout_s)

    def _twins(self) -> set[str]:
        here = self.get_namespace()
        count = Counter(name for name, namespace in self.get_node_names_and_namespaces() if namespace == here)
        return {name for name, times in count.items() if times > 1}

    def _cause(self, name: str) -> str:
        error = self._errors.get(name, "")
        return f" ({error})" if error else ""

    def _progress(self, sentence: str) -> None:
        self.get_logger().info(sentence)
        self._publish(self._state, sentence)

    def _publish(self, state: int, reason: str) -> None:
        self._state, self._reason = state, reason
        message = SystemState(state=state, reason=reason)
        message.header.stamp = self.get_clock().now().to_msg()
        message.nodes = [peer.name for peer in self._peers]
        message.node_states = [peer.label for peer in self._peers]
        self._state_pub.publish(message)


def main() -> int:
    """Runs the node."""
    return run(LifecycleManager)


if __name__ == "__main__":
    sys.exit(main())
