"""Bring-up is ordered and all or nothing; what dies or leaves ACTIVE is named; nothing comes back by itself."""

import threading
from collections.abc import Iterator

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
from insertion_vla.managed_node import ManagedNode
from insertion_vla.nodes.lifecycle_manager import LifecycleManager
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla_interfaces.msg import SystemState

DOMAIN = 55
NAMES = ["alpha", "beta", "gamma"]


@pytest.fixture
def graph() -> Iterator[Graph]:
    with open_graph(DOMAIN) as graph:
        yield graph


class Bench:
    """Managed nodes that write down what happens to them, and the manager's state."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.history: list[str] = []
        self.broken: dict[str, str] = {}
        self.states = Inbox(graph, SystemState, "system/state", qos.SYSTEM)
        self.start_client = graph.node.create_client(Trigger, "system/start")
        self.shutdown_client = graph.node.create_client(Trigger, "system/shutdown")

    def node(self, name: str) -> ManagedNode:
        bench = self

        class Recorder(ManagedNode):
            NAME = name

            def setup(self) -> None:
                bench.note(name, "setup")

            def start(self) -> None:
                bench.note(name, "start")

            def stop(self) -> None:
                bench.note(name, "stop")

            def teardown(self) -> None:
                bench.note(name, "teardown")

        return self.graph.add(Recorder)

    def note(self, name: str, hook: str) -> None:
        self.history.append(f"{name} {hook}")
        if self.broken.get(name) == hook:
            raise ValueError("the lens cap is on")

    def manager(self, **parameters: object) -> LifecycleManager:
        parameters = {"node_names": NAMES, "appear_timeout_s": 5.0, "watch_period_s": 0.1, **parameters}
        return self.graph.add(LifecycleManager, **parameters)

    def wait(self, state: int, word: str = "", start: int = 0) -> SystemState:
        return self.states.wait(lambda m: m.state == state and word in m.reason, start=start)

    def start(self) -> Trigger.Response:
        return self.graph.ask(self.start_client, Trigger.Request())

    def shutdown(self) -> Trigger.Response:
        return self.graph.ask(self.shutdown_client, Trigger.Request())


@pytest.fixture
def bench(graph: Graph) -> Bench:
    return Bench(graph)


def test_brings_up_in_order_and_down_in_reverse(bench):
    for name in reversed(NAMES):
        bench.node(name)
    bench.manager()
    active = bench.wait(SystemState.ACTIVE)
    assert active.nodes == NAMES and active.node_states == ["active"] * 3
    assert sorted(bench.history[:3]) == ["alpha setup", "beta setup", "gamma setup"]
    assert bench.history[3:] == ["alpha start", "beta start", "gamma start"]

    bench.history.clear()
    answer = bench.shutdown()
    assert answer.success, answer.message
    assert bench.history[:3] == ["gamma stop", "beta stop", "alpha stop"]
    assert sorted(bench.history[3:]) == ["alpha teardown", "beta teardown", "gamma teardown"]
    assert bench.states.messages[-1].state == SystemState.DOWN


def test_without_autostart_nothing_happens_until_a_person_says_so(bench):
    for name in NAMES:
        bench.node(name)
    bench.manager(autostart=False)
    bench.wait(SystemState.DOWN)
    assert bench.history == []
    assert bench.start().success
    assert bench.history[-1] == "gamma start"


def test_a_missing_node_is_named_and_nothing_is_half_active(bench):
    bench.node("alpha")
    bench.node("gamma")
    bench.manager(appear_timeout_s=0.5)
    degraded = bench.wait(SystemState.DEGRADED)
    assert "beta did not appear" in degraded.reason
    assert bench.history == []


@pytest.mark.parametrize(("hook", "verb"), [("setup", "configure"), ("start", "activate")])
def test_a_refusal_takes_everything_back_and_gives_the_cause(bench, hook, verb):
    for name in NAMES:
        bench.node(name)
    bench.broken["beta"] = hook
    bench.manager()
    degraded = bench.wait(SystemState.DEGRADED, f"beta refused to {verb}")
    assert "the lens cap is on" in degraded.reason
    assert degraded.node_states == ["unconfigured"] * 3
    assert "gamma start" not in bench.history
    if hook == "start":
        assert bench.history.index("alpha stop") > bench.history.index("beta start")
    bench.broken.clear()
    assert bench.start().success


def test_a_node_that_leaves_active_is_named_at_once(bench):
    nodes = [bench.node(name) for name in NAMES]
    bench.manager(watch_period_s=10.0)  # the transition itself must tell, not the next question
    bench.wait(SystemState.ACTIVE)
    bench.graph.call(nodes[1].trigger_deactivate)
    degraded = bench.wait(SystemState.DEGRADED)
    assert "beta is inactive" in degraded.reason and degraded.node_states == ["active", "inactive", "active"]


def test_a_respawned_node_stays_inactive_until_start_is_called(bench):
    nodes = [bench.node(name) for name in NAMES]
    bench.manager()
    bench.wait(SystemState.ACTIVE)
    bench.graph.remove(nodes[1])
    bench.wait(SystemState.DEGRADED, "beta")
    reborn = bench.node("beta")
    seen = len(bench.states.messages)
    bench.wait(SystemState.DEGRADED, "beta is unconfigured", start=seen)
    assert reborn.phase == "unconfigured"

    bench.history.clear()
    answer = bench.start()
    assert answer.success, answer.message
    assert reborn.phase == "active"
    assert bench.history == ["beta setup", "beta start"], "the others were active all the time"
    bench.wait(SystemState.ACTIVE, start=seen)


def test_two_nodes_of_one_name_are_refused(bench):
    for name in [*NAMES, "beta"]:
        bench.node(name)
    bench.manager()
    degraded = bench.wait(SystemState.DEGRADED)
    assert "beta runs twice" in degraded.reason
    assert not any(entry.endswith("start") for entry in bench.history)


def test_shutdown_breaks_off_a_bring_up(bench):
    bench.node("alpha")
    bench.manager(appear_timeout_s=60.0)
    bench.wait(SystemState.STARTING, "waiting for")
    answer = bench.shutdown()
    assert bench.states.messages[-1].state in (SystemState.DOWN, SystemState.DEGRADED)
    assert "beta" in answer.message or answer.success


def test_start_pressed_many_times_is_one_bring_up(bench):
    for name in NAMES:
        bench.node(name)
    bench.manager(autostart=False)
    assert bench.start_client.wait_for_service(5.0)
    answers = [bench.start_client.call_async(Trigger.Request()) for _ in range(5)]
    assert all(bench.graph.result(answer).success for answer in answers)
    assert bench.history.count("alpha start") == 1


def test_the_manager_ends_at_once_in_the_middle_of_a_bring_up(bench):
    bench.node("alpha")
    manager = bench.manager(appear_timeout_s=60.0)
    bench.wait(SystemState.STARTING, "waiting for")
    bench.graph.remove(manager)
    assert not any(thread.name == "bring-up" for thread in threading.enumerate())
