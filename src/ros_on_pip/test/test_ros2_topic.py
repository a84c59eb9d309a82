"""`ros2 topic`: list, info, echo, hz, pub."""

import re
import signal

import pytest
import yaml
from conftest import wait_for
from std_msgs.msg import Header, String

pytestmark = pytest.mark.usefixtures("peer")


def test_list(ros2):
    code, out, _ = ros2("topic", "list", "-t")
    assert code == 0
    lines = out.splitlines()
    assert lines == sorted(lines) and "/fast [geometry_msgs/msg/WrenchStamped]" in lines
    assert not any(line.startswith("/_hidden") for line in lines)
    _, hidden, _ = ros2("topic", "list", "--include-hidden-topics", "--no-daemon")
    assert "/_hidden" in hidden.splitlines()
    _, count, _ = ros2("topic", "list", "-c")
    assert int(count) == len(lines)


def test_info(ros2):
    code, out, _ = ros2("topic", "info", "/latched")
    assert code == 0
    assert out.splitlines() == ["Type: std_msgs/msg/String", "Publisher count: 1", "Subscription count: 0"]
    _, verbose, _ = ros2("topic", "info", "-v", "latched")
    assert "Node name: driver" in verbose and "Durability: TRANSIENT_LOCAL" in verbose and "RIHS01_" in verbose


def test_echo_prints_yaml_documents(ros2):
    code, out, _ = ros2("topic", "echo", "--once", "/fast")
    assert code == 0
    (document,) = yaml.safe_load_all(out.removesuffix("---\n"))
    assert document["header"]["frame_id"] == "tool" and document["wrench"]["force"]["z"] >= 0
    assert out.endswith("---\n")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["/latched"], "data: once\n---\n"),
        (["/latched", "std_msgs/msg/String", "--qos-durability", "transient_local"], "data: once\n---\n"),
        (["/latched", "--csv"], "once\n"),
        (["/best_effort", "--field", "data"], "loose\n---\n"),
        (["/array", "--field", "data[199]"], "0.5\n---\n"),
        (["/array", "--field", "layout", "--flow-style"], "{dim: [], data_offset: 0}\n---\n"),
        (["/array", "--field", "data", "--csv", "-l", "2"], "0.5,0.5,...\n"),
        (["/fast", "--field", "header.frame_id"], "tool\n---\n"),
    ],
)
def test_echo_options(ros2, options, expected):
    assert ros2("topic", "echo", "--once", *options) == (0, expected, "")


def test_echo_cuts_long_arrays(ros2):
    assert ros2("topic", "echo", "--once", "/array")[1].count("- 0.5\n") == 128
    assert "- '...'\n" in ros2("topic", "echo", "--once", "/array")[1]
    assert ros2("topic", "echo", "--once", "--full-length", "/array")[1].count("- 0.5\n") == 200
    short = ros2("topic", "echo", "--once", "--no-arr", "/array")[1]
    assert "data: '<sequence type: float, length: 200>'" in short


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["echo", "/fasst", "--spin-time", "0.3"], "no topic '/fasst' found"),
        (["hz", "/fasst", "--spin-time", "0.3"], "no topic '/fasst' found"),
        (["info", "/fasst", "--spin-time", "0.3"], "no topic '/fasst' found"),
        (["echo", "/fast", "--field", "wrenche"], "invalid field 'wrenche': WrenchStamped has header, wrench"),
        (["echo", "/fast", "std_msgs/msg/String"], "topic '/fast' has type geometry_msgs/msg/WrenchStamped, not"),
        (["echo", "/fast", "std_msgs/msg/Sting"], "unknown message type 'std_msgs/msg/Sting'"),
        (["echo", "/fa st", "std_msgs/msg/String"], "'/fa st' is not a valid name: Invalid topic name"),
        (["pub", "/x", "std_msgs/msg/String", "{date: 1}"], "String has no field 'date'; its fields are data"),
        (["pub", "/x", "std_msgs/msg/String", "{data: ["], "expected YAML"),
    ],
)
def test_mistakes_are_told_in_one_sentence(ros2, arguments, sentence):
    code, out, errors = ros2("topic", *arguments)
    assert code != 0 and out == ""
    assert errors.startswith("ros2 topic: ") and sentence in errors and errors.count("\n") == 1


def test_a_misspelt_topic_is_guessed(ros2):
    assert "did you mean '/latched'?" in ros2("topic", "info", "/lached", "--spin-time", "2")[2]


def test_hz_reports_every_second_until_interrupted(ros2_process):
    hz = ros2_process("topic", "hz", "/fast")
    hz.wait_for("window")
    assert hz.end(signal.SIGINT) == signal.SIGINT
    rate = re.search(r"^average rate: (\d+\.\d{3})$", hz.text, re.MULTILINE)
    assert rate is not None and 60 < float(rate[1]) < 140
    shape = r"^\tmin: \d+\.\d{3}s max: \d+\.\d{3}s std dev: \d+\.\d{5}s window: \d+$"
    assert re.search(shape, hz.text, re.MULTILINE) and "Traceback" not in hz.text


def test_a_closed_pipe_ends_quietly(ros2_process, peer):
    import subprocess

    from conftest import ROS2

    first = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1', "bash", *ROS2, "topic", "echo", "/fast", "--csv"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert first.stdout.count("\n") == 1 and first.stderr == ""


def test_pub_publishes_as_often_as_told(ros2, graph):
    received = graph.collect(String, "/published")
    code, out, _ = ros2("topic", "pub", "-t", 3, "-r", 50, "/published", "std_msgs/msg/String", "{data: hello}")
    assert code == 0
    assert "publishing #3: std_msgs.msg.String(data='hello')" in out
    wait_for(lambda: len(received) == 3, "three messages")
    assert {message.data for message in received} == {"hello"}


def test_pub_stamps_headers(ros2, graph):
    received = graph.collect(Header, "/header")
    code, _, _ = ros2("topic", "pub", "--once", "/header", "std_msgs/msg/Header", "{stamp: now, frame_id: base}")
    assert code == 0
    (message,) = wait_for(lambda: received, "a message")
    assert message.frame_id == "base" and message.stamp.sec > 1_600_000_000
