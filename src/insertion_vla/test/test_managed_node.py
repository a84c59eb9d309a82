"""The base of every node: wrong parameters are refused by name, failures have a cause, signals end it cleanly."""

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from ros_graph import TIMEOUT_S, Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
from diagnostic_msgs.msg import DiagnosticArray
from emulator import environment
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.parameters import READ_ONLY, RUNTIME, TIGHTEN_DOWN, ParameterModel
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from pydantic import Field, model_validator
from rclpy.parameter import Parameter
from std_msgs.msg import String

from insertion_vla import qos

DOMAIN = 53


class Group(ParameterModel):
    low: float = Field(1.0, ge=0.0, le=10.0, description="[N] lower threshold")
    high: float = Field(2.0, gt=0.0, le=10.0, description="[N] upper threshold", json_schema_extra=TIGHTEN_DOWN)

    @model_validator(mode="after")
    def _ordered(self) -> "Group":
        if not self.low < self.high:
            raise ValueError(f"expected low below high, got {self.low:g} and {self.high:g}")
        return self


class Settings(ParameterModel):
    rate_hz: float = Field(10.0, ge=1.0, le=100.0, description="[Hz] rate", json_schema_extra=RUNTIME)
    count: int = Field(3, ge=1, le=9, description="how many")
    mode: Literal["fast", "slow"] = Field("slow", description="how")
    views: list[str] = Field([], description="names")
    joints: list[float] = Field([0.0, 0.0], description="[rad] joints")
    serial: str = Field("a", description="serial number", json_schema_extra=READ_ONLY)
    host: str = Field("localhost", description="address")
    force: Group = Field(default_factory=Group)


class Required(ParameterModel):
    host: str = Field(description="address of the device")


class Worker(ManagedNode):
    """Publishes while active; fails where a test asks it to."""

    NAME = "worker"
    Parameters = Settings
    fail: dict[str, Exception] = {}  # noqa: RUF012 - a test gives each worker its own
    calls: list[str]
    changed = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.calls, self.fail = [], {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]

    @staticmethod
    def fail_with(error: Exception | None) -> None:
        if error is not None:
            raise error

    def setup(self) -> None:
        self.publisher = self.create_publisher(String, "words", 10)
        self._call("setup")

    def start(self) -> None:
        self.create_timer(0.01, lambda: self.publisher.publish(String(data="tick")))
        self._call("start")

    def stop(self) -> None:
        self._call("stop")

    def teardown(self) -> None:
        self._call("teardown")

    def parameters_changed(self) -> None:
        self.changed += 1


class RequiredWorker(ManagedNode):
    NAME = "required_worker"
    Parameters = Required


@pytest.fixture
def graph() -> Iterator[Graph]:
    with open_graph(DOMAIN) as graph:
        yield graph


def configure(graph: Graph, node: ManagedNode) -> str:
    """Configures; returns why it was refused, or nothing."""
    graph.call(node.trigger_configure)
    assert node.phase == ("unconfigured" if node.problem else "inactive")
    return node.problem


WRONG = [
    ({"rate_hz": float("nan")}, ["'rate_hz'", "nan", "at least 1", "at most 100", "[Hz]"]),
    ({"rate_hz": float("inf")}, ["'rate_hz'", "inf"]),
    ({"rate_hz": -5.0}, ["'rate_hz'", "-5.0", "at least 1"]),
    ({"rate_hz": "10"}, ["'rate_hz'", "'10'", "number"]),
    ({"count": 10}, ["'count'", "10", "at most 9"]),
    ({"count": 2.5}, ["'count'", "2.5", "whole number"]),
    ({"mode": "fsat"}, ["'mode'", "fsat", "fast, slow"]),
    ({"views": "front"}, ["'views'", "list"]),
    ({"joints": [0.0, float("nan")]}, ["'joints'", "nan"]),
    ({"force.high": 0.0}, ["'force.high'", "above 0", "[N]"]),
    ({"force.low": 5.0}, ["force", "low below high", "5 and 2"]),
    ({"rate": 5.0}, ["'rate'", "unknown", "'rate_hz'"]),
    ({"force.hihg": 5.0}, ["'force.hihg'", "unknown", "'force.high'"]),
    ({"count": 0, "mode": "no"}, ["'count'", "'mode'"]),
]


@pytest.mark.parametrize(("overrides", "words"), WRONG, ids=[str(w[0]) for w in WRONG])
def test_wrong_parameters_are_refused_at_configure_by_name_value_and_bound(graph, overrides, words):
    node = graph.add(Worker, **overrides)
    problem = configure(graph, node)
    assert all(word in problem for word in words), problem
    assert node.calls == []


def test_a_missing_parameter_is_named_and_can_be_set_before_configuring(graph):
    node = graph.add(RequiredWorker)
    assert "'host' is missing" in configure(graph, node)
    assert graph.call(lambda: node.set_parameters([Parameter("host", value="there")]))[0].successful
    assert configure(graph, node) == "" and node.params.host == "there"


def test_good_overrides_arrive_and_whole_numbers_do_for_floats(graph):
    node = graph.add(Worker, rate_hz=20, joints=[1, 2], views=["front"], **{"force.high": 3, "mode": "fast"})
    assert configure(graph, node) == ""
    params = node.params
    assert (params.rate_hz, params.joints, params.views, params.mode) == (20.0, [1.0, 2.0], ["front"], "fast")
    assert params.force == Group(low=1.0, high=3.0)
    described = node.describe_parameter("force.high")
    assert "[N]" in described.description and described.floating_point_range[0].to_value == 10.0


def test_what_may_change_while_configured(graph):
    node = graph.add(Worker)
    assert configure(graph, node) == ""

    def change(name: str, value: Any) -> tuple[bool, str]:
        result = graph.call(lambda: node.set_parameters([Parameter(name, value=value)])[0])
        return result.successful, result.reason

    assert change("rate_hz", 50.0)[0] and node.params.rate_hz == 50.0 and node.changed == 1
    assert not change("rate_hz", float("nan"))[0] and not change("rate_hz", 1000.0)[0]
    assert not change("count", 4)[0] and "clean it up" in change("count", 4)[1]
    assert change("force.high", 1.5)[0] and node.params.force.high == 1.5
    looser, reason = change("force.high", 1.8)
    assert not looser and "1.8" in reason and "1.5" in reason
    assert not change("force.high", 0.5)[0]  # below force.low
    assert not change("serial", "b")[0]
    assert node.params == Settings(rate_hz=50.0, force=Group(low=1.0, high=1.5))


@pytest.mark.parametrize("error", [ValueError("the device is red"), OSError("the device is red"), KeyError("red")])
def test_a_failing_setup_leaves_nothing_behind(graph, error, capfd):
    node = graph.add(Worker)
    node.fail = {"setup": error}
    assert "red" in configure(graph, node)
    assert node.calls == ["setup", "teardown"] and node.params is None
    assert [p.topic_name for p in node.publishers if p.topic_name.endswith("words")] == []
    assert ("Traceback" in capfd.readouterr().err) == isinstance(error, KeyError)
    node.fail = {}
    assert configure(graph, node) == ""


def test_a_failing_start_leaves_the_node_inactive(graph):
    node = graph.add(Worker)
    configure(graph, node)
    node.fail = {"start": ValueError("not yet")}
    graph.call(node.trigger_activate)
    assert node.phase == "inactive" and "not yet" in node.problem and node.calls[-2:] == ["start", "stop"]
    node.fail = {}
    graph.call(node.trigger_activate)
    assert node.phase == "active"


@pytest.mark.parametrize("always", [False, True])
def test_a_failing_stop_dismantles_the_node(graph, always):
    node = graph.add(Worker)
    configure(graph, node)
    graph.call(node.trigger_activate)
    errors = itertools.chain([RuntimeError("stuck")], itertools.repeat(RuntimeError("stuck") if always else None))
    node.stop = lambda: node.fail_with(next(errors))
    graph.call(node.trigger_deactivate)
    assert node.phase == ("finalized" if always else "unconfigured") and "stuck" in node.problem
    assert "teardown" in node.calls and node.params is None


def test_activity_ends_with_deactivation_and_the_problem_is_on_diagnostics(graph):
    words = Inbox(graph, String, "words", 10)
    diagnostics = Inbox(graph, DiagnosticArray, "/diagnostics", qos.reliable(50))
    node = graph.add(Worker, **{"diagnostic_updater.period": 0.05})
    configure(graph, node)
    graph.call(node.trigger_activate)
    words.wait_count(3)
    graph.call(node.trigger_deactivate)
    assert not [t for t in node.timers if t.timer_period_ns == 10_000_000]
    node.fail = {"start": ValueError("the needle is missing")}
    graph.call(node.trigger_activate)
    diagnostics.wait(lambda m: any(s.level == b"\x02" and "the needle is missing" in s.message for s in m.status))


def ask(graph: Graph, transition: int, name: str = "worker") -> bool:
    client = graph.node.create_client(ChangeState, f"{name}/change_state")
    return graph.ask(client, ChangeState.Request(transition=Transition(id=transition))).success


def test_a_transition_that_the_state_does_not_have_is_answered(graph):
    graph.add(Worker)
    assert not ask(graph, Transition.TRANSITION_ACTIVATE)
    assert ask(graph, Transition.TRANSITION_CONFIGURE)
    assert not ask(graph, Transition.TRANSITION_CONFIGURE)
    assert ask(graph, Transition.TRANSITION_ACTIVATE)


class Process:
    """A worker in a process of its own, in this test's namespace."""

    def __init__(self, graph: Graph, *options: str) -> None:
        ros = ["--ros-args", "-r", f"__ns:={graph.namespace}", *options]
        self.popen = subprocess.Popen(
            [sys.executable, __file__, *ros],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(DOMAIN),
        )

    def finish(self, number: signal.Signals) -> tuple[int, str]:
        self.popen.send_signal(number)
        output, _ = self.popen.communicate(timeout=TIMEOUT_S)
        return self.popen.returncode, output


@pytest.fixture
def process(graph) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(*options: str) -> Process:
        made.append(Process(graph, *options))
        return made[-1]

    yield make
    for one in made:
        if one.popen.poll() is None:
            one.popen.kill()
            one.popen.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_then_tear_down_then_end_with_code_0(graph, process, number):
    one = process()
    assert ask(graph, Transition.TRANSITION_CONFIGURE) and ask(graph, Transition.TRANSITION_ACTIVATE)
    words = Inbox(graph, String, "words", 10)
    words.wait_count(1)
    code, output = one.finish(number)
    assert code == 0 and "Traceback" not in output, output
    words.wait(lambda m: m.data == "stopped")  # published in stop(): the context was still alive
    assert output.split() == ["interrupted", "stop", "teardown"]


def test_wrong_yaml_is_refused_and_the_process_lives_on(graph, process, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("/**/worker:\n  ros__parameters:\n    rate_hz: .nan\n    modee: fast\n")
    one = process("--params-file", str(path))
    assert not ask(graph, Transition.TRANSITION_CONFIGURE)
    client = graph.node.create_client(GetState, "worker/get_state")
    assert graph.ask(client, GetState.Request()).current_state.label == "unconfigured"
    code, output = one.finish(signal.SIGINT)
    assert code == 0 and "'rate_hz' = nan" in output and "did you mean 'mode'?" in output


def test_an_exception_in_a_callback_stops_the_node_and_is_shown(graph, process):
    one = process("-p", "host:=crash")
    assert ask(graph, Transition.TRANSITION_CONFIGURE)
    client = graph.node.create_client(ChangeState, "worker/change_state")
    client.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE)))
    output, _ = one.popen.communicate(timeout=TIMEOUT_S)
    assert one.popen.returncode == 1 and "ZeroDivisionError" in output and "teardown" in output


class ProcessWorker(Worker):
    """What runs in a process of its own: prints its calls."""

    def start(self) -> None:
        super().start()
        if self.params.host == "crash":
            self.create_timer(0.01, lambda: 1 / 0)

    def stop(self) -> None:
        print("stop", flush=True)
        self.publisher.publish(String(data="stopped"))
        self.publisher.wait_for_all_acked()

    def teardown(self) -> None:
        print("teardown", flush=True)

    def interrupted(self) -> None:
        print("interrupted", flush=True)


if __name__ == "__main__":
    raise SystemExit(run(ProcessWorker))


def test_a_word_that_is_not_for_ros_is_refused_by_name(capsys):
    class Named(ManagedNode):
        NAME = "named"

    assert run(Named, ["--seed", "7"]) == 2
    assert "expected nothing but --ros-args on the command line, got '--seed'" in capsys.readouterr().err
