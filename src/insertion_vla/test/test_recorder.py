"""An episode is one bag with everything in it; what is wrong with it is told while it helps, and stands in the bag."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ros_graph import Graph, open_graph  # isort: skip  (sets the environment before rclpy is imported)
from insertion_vla.messages import ns_from_time
from insertion_vla.nodes.recorder import Parameters, Recorder
from insertion_vla.parameters import specs
from insertion_vla.paths import config_file
from insertion_vla_core.recording_index import read_index
from rclpy.parameter import Parameter
from record_rig import SENTENCE, Lab, bag, contract_text

from insertion_vla_interfaces.msg import ArmState, EpisodeStatus, TaskState

DOMAIN = 60
NS = 1_000_000_000


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_graph(DOMAIN) as graph:
        lab = Lab(graph)
        yield lab
        lab.close()


def test_an_episode_is_a_bag_with_every_message_and_all_that_is_known_of_it(lab, tmp_path):
    recorder = lab.record(tmp_path)
    answer = lab.start(instruction=SENTENCE, notes="first try")
    assert answer.success, answer.message
    lab.recorded(300)
    assert lab.label(outcome="success", notes="well done").success
    began, ended = time.time_ns(), lab.stop()
    assert ended.success and ended.path == answer.path
    metadata, messages = bag(answer.path)
    assert (metadata.instruction, metadata.outcome, metadata.notes) == (SENTENCE, "success", "first try\nwell done")
    assert metadata.contract == contract_text() and metadata.checkpoint_hash == "test:abc"
    assert metadata.parameters["episode"]["folder"] == str(tmp_path / "bags")
    assert "use_sim_time" in metadata.parameters["test_probe"], "those of every node, not only its own"
    assert len(metadata.git_revision.removesuffix("-dirty")) == 40
    assert "convention" in yaml.safe_load(metadata.robot_calibration)
    assert set(yaml.safe_load(metadata.camera_calibration)) == {"tool", "views"}
    assert not metadata.bad, metadata.reasons
    rates = {rate.topic: rate for rate in metadata.rates}
    assert rates["joint_states"].measured_hz == pytest.approx(20.0, rel=0.1) and rates["joint_states"].lost == 0
    assert rates["force/samples"].measured_hz == pytest.approx(100.0, rel=0.1)
    names = {name.removeprefix(f"{lab.graph.namespace}/") for name in messages}
    assert names == {*lab.sent, "system/state", "/diagnostics"}
    joints = messages[f"{lab.graph.namespace}/joint_states"]
    for receive_ns, message in joints:
        assert 0 <= receive_ns - ns_from_time(message.header.stamp) < NS
    assert max(receive_ns for receive_ns, _ in joints) >= began - NS
    (latched,) = messages[f"{lab.graph.namespace}/system/state"]
    assert latched[1].reason == "latched long ago"
    (entry,) = read_index(tmp_path / "bags")
    assert (entry.name, entry.outcome, entry.bad) == (metadata.name, "success", False)
    assert entry.messages == sum(map(len, messages.values()))
    assert recorder.phase == "active"


def test_the_windows_before_an_episode_are_in_it(lab, tmp_path):
    lab.record(tmp_path)
    time_before = time.time_ns()
    lab.status.wait_count(len(lab.status.messages) + 5)
    began = time.time_ns()
    path = lab.start().path
    lab.stop()
    _, messages = bag(path)
    first = messages[f"{lab.graph.namespace}/tool_pose"][0][0]
    assert time_before - 2 * NS < first < began - 1.5 * NS


def test_a_stream_that_misses_its_rate_is_told_while_it_helps_and_makes_the_episode_bad(lab, tmp_path):
    lab.record(tmp_path)
    lab.start()
    lab.recorded(100)
    lab.silent.add("hand/image_raw/compressed")
    told = lab.status.wait(lambda m: m.bad, start=len(lab.status.messages))
    assert "hand/image_raw/compressed" in told.reason and told.state == EpisodeStatus.RECORDING
    lab.status.wait(lambda m: "nothing for" in m.reason, start=len(lab.status.messages))
    answer = lab.stop()
    metadata, _ = bag(answer.path)
    assert metadata.bad and len(metadata.reasons) == 1
    assert "hand/image_raw/compressed: " in metadata.reasons[0] and metadata.reasons[0] in answer.message
    assert read_index(tmp_path / "bags")[0].bad


def test_before_an_episode_the_status_names_what_nothing_came_of(lab, tmp_path):
    lab.silent |= {"hand/image_raw/compressed", "vlm/features"}
    lab.record(tmp_path)
    lab.status.wait(lambda m: m.reason == "idle; nothing yet on hand/image_raw/compressed")
    lab.silent.clear()
    lab.status.wait(lambda m: m.reason == "idle", start=len(lab.status.messages))


def test_labels_come_after_the_episode_too_and_a_discarded_one_leaves_nothing(lab, tmp_path):
    lab.record(tmp_path)
    assert "no episode to label" in lab.label(outcome="success").message
    path = lab.start().path
    assert not lab.start().success
    lab.recorded(50)
    lab.stop()
    assert "expected one of success, failure, unknown, got 'good'" in lab.label(outcome="good").message
    assert lab.label(outcome="failure", instruction="another", notes="missed").success
    metadata, _ = bag(path)
    assert (metadata.outcome, metadata.instruction, metadata.notes) == ("failure", "another", "missed")
    assert [(e.outcome, e.instruction) for e in read_index(tmp_path / "bags")] == [("failure", "another")]
    discarded = lab.start().path
    assert lab.stop(discard=True).success
    assert not Path(discarded).exists() and len(read_index(tmp_path / "bags")) == 1
    assert "nothing is being recorded" in lab.stop().message


def test_a_goal_begins_its_episode_and_its_result_is_the_label(lab, tmp_path):
    lab.record(tmp_path, auto=True)
    for phase, outcome in ((TaskState.SUCCEEDED, "success"), (TaskState.FAILED, "failure")):
        lab.goal, lab.phase = "0" * 31 + str(phase), TaskState.APPROACH
        path = lab.recorded(60).path
        lab.goal, lab.phase = "", phase
        lab.status.wait(lambda m: m.state == EpisodeStatus.IDLE, start=len(lab.status.messages))
        metadata, messages = bag(path)
        assert (metadata.outcome, metadata.instruction) == (outcome, SENTENCE)
        assert not metadata.bad, metadata.reasons
        phases = [message.phase for _, message in messages[f"{lab.graph.namespace}/task/state"]]
        assert TaskState.APPROACH in phases and phases[-1] == phase
    assert [entry.outcome for entry in read_index(tmp_path / "bags")] == ["success", "failure"]


def test_a_persons_label_is_stronger_than_the_result(lab, tmp_path):
    lab.record(tmp_path, auto=True)
    lab.goal, lab.phase = "1" * 32, TaskState.APPROACH
    path = lab.recorded(60).path
    assert lab.label(outcome="failure").success
    lab.goal, lab.phase = "", TaskState.SUCCEEDED
    lab.status.wait(lambda m: m.state == EpisodeStatus.IDLE, start=len(lab.status.messages))
    assert bag(path)[0].outcome == "failure"


def test_below_the_floor_of_free_space_nothing_starts_and_what_runs_is_closed(lab, tmp_path):
    recorder = lab.record(tmp_path)
    path = lab.start().path
    lab.recorded(50)
    floor = 2.0 * shutil.disk_usage(tmp_path).free / 1e9
    lab.graph.call(lambda: recorder.set_parameters([Parameter("min_free_gb", value=floor)]))
    told = lab.status.wait(lambda m: m.state == EpisodeStatus.REFUSED, start=len(lab.status.messages))
    assert "min_free_gb" in told.reason and "free some space" in told.reason
    metadata, messages = bag(path)
    assert metadata.bad and "ended early" in metadata.reasons[0]
    assert len(messages[f"{lab.graph.namespace}/joint_states"]) > 5
    refused = lab.start()
    assert not refused.success and "free some space" in refused.message
    lab.diagnostics.wait(lambda m: any(s.level == b"\x02" and "min_free_gb" in s.message for s in m.status))
    lab.graph.call(lambda: recorder.set_parameters([Parameter("min_free_gb", value=0.05)]))
    lab.status.wait(lambda m: m.state == EpisodeStatus.IDLE, start=len(lab.status.messages))
    assert lab.start().success


def test_the_black_box_keeps_what_came_before_a_fault(lab, tmp_path):
    lab.record(tmp_path, black_box_s=5.0)
    lab.status.wait_count(len(lab.status.messages) + 4)
    fault_ns = time.time_ns()
    lab.arm = ArmState.FAULT
    deadline_s = time.monotonic() + 15.0
    faults = tmp_path / "bags" / "faults"
    while not (kept := read_index(faults)):
        assert time.monotonic() < deadline_s
        lab.status.wait_count(len(lab.status.messages) + 1)
    assert kept[0].source == "black box" and kept[0].bad
    assert "the arm went to FAULT: too much force" in kept[0].reasons[0]
    _, messages = bag(faults / kept[0].path)
    times = [receive_ns for receive_ns, _ in messages[f"{lab.graph.namespace}/joint_states"]]
    assert times[0] < fault_ns - 1.5 * NS and times[-1] > fault_ns + 0.5 * NS
    assert messages[f"{lab.graph.namespace}/arm/state"][-1][1].state == ArmState.FAULT
    lab.status.wait_count(len(lab.status.messages) + 5)
    assert len(read_index(faults)) == 1 and read_index(tmp_path / "bags") == []


def test_deactivating_closes_the_bag_and_the_node_records_again_after_it(lab, tmp_path):
    recorder = lab.record(tmp_path)
    path = lab.start().path
    lab.recorded(50)
    lab.graph.call(recorder.trigger_deactivate)
    metadata, messages = bag(path)
    assert metadata.outcome == "unknown" and messages
    assert "inactive" in lab.start().message
    lab.graph.call(recorder.trigger_activate)
    lab.await_topics(recorder)
    assert lab.start().success
    lab.recorded(50)


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"contract_file": "no/such.yaml"}, "no/such.yaml"),
        ({"arm": "meca5000"}, "meca5000"),
        ({"folder": __file__}, "test_recorder.py"),
        ({"min_free_gb": -1.0}, "min_free_gb"),
    ],
)
def test_what_cannot_work_is_refused_when_it_configures(tmp_path, parameters, word):
    with open_graph(DOMAIN) as graph:
        recorder = graph.add(Recorder, **{"folder": str(tmp_path), **parameters})
        assert recorder.phase == "unconfigured" and word in recorder.problem


def test_every_parameter_stands_in_the_file_with_its_default():
    section = yaml.safe_load(config_file("params.yaml").read_text())["/**/episode"]["ros__parameters"]
    known = specs(Parameters)
    assert set(known) - set(section) == {"topics", "extra_topics"}  # an empty list has no type in YAML
    assert {name: known[name].default for name in section} == section


def test_topics_of_other_types_than_the_contract_says_are_named(tmp_path):
    with open_graph(DOMAIN) as graph:
        node: Graph = graph
        node.node.create_publisher(TaskState, "joint_states", 1)
        recorder = graph.add(Recorder, folder=str(tmp_path))
        deadline_s = time.monotonic() + 10.0
        while not recorder._problems:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert "the contract says sensor_msgs/msg/JointState" in next(iter(recorder._problems.values()))
