"""Chunks come on absolute 10 Hz deadlines while everything is there, and not at all otherwise."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
from array import array

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from insertion_vla.feature_messages import features_to_message, withdrawal
from insertion_vla.messages import chunk_from_message, ns_from_time, time_from_ns
from insertion_vla.nodes import action_expert
from insertion_vla_policy.protocol import Action, Features
from sensor_msgs.msg import JointState

from insertion_vla import qos
from insertion_vla_interfaces.msg import ActionChunk, ForceSamples, TaskState, VLFeatures

DOMAIN = 57
CONTRACT = Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml"
GREEN, RED = "insert the needle into the green trocar", "insert the needle into the red trocar"


class Expert:
    """Plans to stand still; the test makes it slow, wrong or broken."""

    policy_id = "still"

    def __init__(self) -> None:
        self.resets: list[tuple[str, str]] = []
        self.observations: list = []
        self.looked: list = []
        self.stall_s = 0.0
        self.error: Exception | None = None
        self.blind: Exception | None = None
        self.action = Action(np.zeros((8, 6)), np.zeros(8), "still")

    def reset(self, goal, instruction):
        self.resets.append((goal, instruction))

    def look(self, observation):
        self.looked.append((threading.current_thread().name, observation.newest_ns["features"]))
        if self.blind is not None:
            raise self.blind

    def act(self, observation):
        self.observations.append(observation)
        if self.error is not None:
            raise self.error
        stall_s, self.stall_s = self.stall_s, 0.0
        threading.Event().wait(stall_s)  # the computation itself, not a synchronisation
        return self.action


class Lab:
    """Sensors and task of the test, and the action_expert node."""

    def __init__(self, graph: Graph, expert: Expert | None, **parameters) -> None:
        self.graph, self.expert = graph, expert
        self.silent: set[str] = set()
        self.goal, self.permit = "", True
        self.features_for = GREEN
        self.chunks = Inbox(graph, ActionChunk, "action_expert/chunk", qos.reliable(100))
        self.diagnostics = Inbox(graph, DiagnosticArray, "/diagnostics", qos.reliable(100))
        node = graph.node
        self._pose = node.create_publisher(PoseStamped, "tool_pose", qos.ROBOT)
        self._joints = node.create_publisher(JointState, "joint_states", qos.ROBOT)
        self._force = node.create_publisher(ForceSamples, "force/samples", qos.SAMPLES)
        self.features = node.create_publisher(VLFeatures, "vlm/features", qos.FEATURES)
        self._task = node.create_publisher(TaskState, "task/state", qos.STATE)
        self._beat, self._force_ns = 0, 0
        node.create_timer(0.01, self._pump)
        self.node = self.add(**parameters)
        graph.call(self.node.trigger_configure)
        graph.call(self.node.trigger_activate)
        assert self.node.phase == "active", self.node.problem

    def add(self, **parameters) -> action_expert.ActionExpert:
        given = {"contract_file": str(CONTRACT), "calibration_file": __file__, "diagnostic_updater.period": 0.1}
        return self.graph.add(action_expert.ActionExpert, **(given | parameters))

    def _pump(self) -> None:
        now_ns = self.graph.node.get_clock().now().nanoseconds
        stamp = time_from_ns(now_ns)
        self._beat += 1
        if "tool_pose" not in self.silent:
            pose = PoseStamped()
            pose.header.stamp = stamp
            pose.pose.position.x = 0.2 + self._beat * 1e-6
            pose.pose.orientation.x, pose.pose.orientation.w = 1.0, 0.0
            self._pose.publish(pose)
        if "joints" not in self.silent:
            names = [f"joint_{i}" for i in (2, 1, 3, 4, 5, 6)]  # not the contract's order
            joints = JointState(name=names, position=[2.0, 1.0, 3.0, 4.0, 5.0, 6.0])
            joints.header.stamp = stamp
            self._joints.publish(joints)
        if "force" not in self.silent:
            count = min(20, int((now_ns - self._force_ns) / 1e9 * 650)) or 1
            stamps = np.linspace(max(self._force_ns, now_ns - 30_000_000) + 1, now_ns, count).astype(np.int64)
            self._force_ns = now_ns
            block = ForceSamples(
                stamps=array("q", stamps), receive_stamps=array("q", stamps), force=array("f", [0.05] * count)
            )
            block.header.stamp = stamp
            self._force.publish(block)
        if "features" not in self.silent and self._beat % 20 == 0:
            features = Features(
                np.zeros((2, 8), np.float32), self.features_for, ("a", "b"), (now_ns, now_ns - 1), "m", "h", 0.0
            )
            self.features.publish(features_to_message(features))
        if "task" not in self.silent and self._beat % 5 == 0:
            instruction = GREEN if self.goal else ""
            self._task.publish(
                TaskState(goal_id=self.goal, permit=self.permit and bool(self.goal), instruction=instruction)
            )

    def error(self, word: str) -> None:
        def named(message: DiagnosticArray) -> bool:
            return any(s.level == b"\x02" and "action_expert" in s.name and word in s.message for s in message.status)

        self.diagnostics.wait(named, start=len(self.diagnostics.messages))

    def no_more_chunks(self) -> None:
        """No chunk comes during six diagnostic periods; a chunk may have been under way before."""
        self.diagnostics.wait_count(len(self.diagnostics.messages) + 3)
        seen = len(self.chunks.messages)
        self.diagnostics.wait_count(len(self.diagnostics.messages) + 6)
        assert len(self.chunks.messages) == seen


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    expert = Expert()
    monkeypatch.setattr(action_expert, "load_expert", lambda *given: expert)
    with open_graph(DOMAIN) as graph:
        yield Lab(graph, expert)


def test_chunks_come_at_10_hz_with_everything_a_chunk_needs(lab):
    lab.goal = "one"
    chunks = lab.chunks.wait_count(15)
    stamps_s = np.array([ns_from_time(c.header.stamp) for c in chunks]) * 1e-9
    assert np.median(np.diff(stamps_s)) == pytest.approx(0.1, abs=0.005)
    ticks = np.diff(stamps_s) / 0.1
    assert np.abs(ticks - np.round(ticks)).max() < 0.3, "deadlines are absolute: delays do not add up"
    assert [c.sequence for c in chunks] == list(range(15))
    assert len({c.session_id for c in chunks}) == 1 and chunks[0].goal_id == "one"
    chunk, observation = chunk_from_message(chunks[-1]), lab.expert.observations[14]
    assert chunk.stamp_ns == observation.stamp_ns
    assert chunk.anchor.position == pytest.approx(observation.streams["tool_pose"].values[-1][:3])
    assert 0 <= chunk.stamp_ns - chunk.force_stamp_ns < 60_000_000
    assert 0 <= chunk.stamp_ns - chunk.features_stamp_ns < 1_200_000_000
    assert observation.streams["joints"].values[-1] == pytest.approx([1, 2, 3, 4, 5, 6]), "by name, not by position"


def test_a_stalled_expert_skips_ticks_and_never_bursts(lab):
    lab.goal = "one"
    lab.chunks.wait_count(3)
    lab.expert.stall_s = 0.45
    lab.chunks.wait_count(12)
    stamps_s = np.array([ns_from_time(c.header.stamp) for c in lab.chunks.messages]) * 1e-9
    gaps = np.diff(stamps_s)
    assert gaps.max() > 0.44, "the stall is visible"
    assert gaps.min() > 0.07, "no tick is caught up"
    assert lab.node._missed >= 4


@pytest.mark.parametrize("stream", ["tool_pose", "joints", "force", "features"])
def test_a_missing_stream_stops_the_chunks_and_is_named_until_it_is_back(lab, stream):
    lab.goal = "one"
    lab.chunks.wait_count(2)
    lab.silent.add(stream)
    lab.error(f"'{stream}' is missing")
    lab.no_more_chunks()
    seen = len(lab.chunks.messages)
    lab.silent.clear()
    lab.chunks.wait_count(seen + 2)


def test_withdrawn_features_stop_the_chunks_at_once(lab):
    lab.goal = "one"
    lab.chunks.wait_count(2)
    lab.silent.add("features")
    lab.graph.call(lambda: lab.features.publish(withdrawal(1, GREEN)))
    lab.error("withdrawn")
    lab.no_more_chunks()


def test_features_for_another_instruction_are_not_used(lab):
    lab.features_for = RED
    lab.goal = "one"
    lab.error("red trocar")
    assert lab.chunks.messages == [] and lab.expert.observations == []
    lab.features_for = GREEN
    lab.chunks.wait_count(1)


def test_without_permission_or_with_an_old_one_nothing_is_sent(lab):
    lab.permit, lab.goal = False, "one"
    lab.no_more_chunks()
    assert lab.chunks.messages == []
    lab.permit = True
    lab.chunks.wait_count(2)
    lab.silent.add("task")
    lab.no_more_chunks()


def test_each_goal_resets_the_expert_once(lab):
    lab.goal = "one"
    lab.chunks.wait_count(3)
    lab.goal = "two"
    lab.chunks.wait(lambda c: c.goal_id == "two")
    assert lab.expert.resets == [("one", GREEN), ("two", GREEN)]


def test_an_action_that_is_not_finite_is_not_sent(lab):
    lab.expert.action = Action(np.full((8, 6), np.nan), np.zeros(8), "")
    lab.goal = "one"
    lab.error("expected finite deltas")
    assert lab.chunks.messages == []


def test_new_features_are_looked_at_once_and_beside_the_ticks(lab):
    lab.goal = "one"
    lab.chunks.wait_count(15)
    threads, stamps = zip(*lab.expert.looked, strict=True)
    assert "ticks" not in threads
    assert len(set(stamps)) == len(stamps) >= 4
    acted_on = {observation.newest_ns["features"] for observation in lab.expert.observations}
    assert len(acted_on - set(stamps)) <= 1, "all but those that were there before the goal"


def test_an_exception_on_looking_deactivates_the_node_with_the_cause(lab):
    lab.expert.blind = RuntimeError("no such camera")
    lab.goal = "one"
    lab.error("no such camera")
    assert lab.node.phase == "inactive"


def test_an_exception_of_the_expert_deactivates_the_node_with_the_cause(lab):
    lab.goal = "one"
    lab.chunks.wait_count(1)
    lab.expert.error = RuntimeError("CUDA out of memory")
    lab.error("CUDA out of memory")
    assert lab.node.phase == "inactive"


def test_a_new_activation_is_a_new_session(lab):
    lab.goal = "one"
    first = lab.chunks.wait_count(1)[0]
    lab.graph.call(lab.node.trigger_deactivate)
    seen = len(lab.chunks.messages)
    lab.graph.call(lab.node.trigger_activate)
    assert lab.chunks.wait(lambda c: True, start=seen + 1).session_id != first.session_id


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("horizon: 8", "horizon: 16", "got 16 x 7"),
        ("type: geometry_msgs/msg/PoseStamped", "type: geometry_msgs/msg/Pose", "geometry_msgs/msg/Pose"),
        ("name: features", "name: tokens", "expected 'features' as its only payload"),
        ("name: tool_pose", "name: tip_pose", "expected the observation tool_pose"),
        ("unit: rad", "units: rad", "units"),
    ],
)
def test_a_contract_that_cannot_be_served_is_refused_by_name(lab, tmp_path, old, new, word):
    text = CONTRACT.read_text()
    assert old in text
    path = tmp_path / "contract.yaml"
    path.write_text(text.replace(old, new, 1))
    node = lab.add(contract_file=str(path))
    lab.graph.call(node.trigger_configure)
    assert node.phase == "unconfigured" and word in node.problem
