"""launch_ros: names, namespaces, parameters and remappings that reach a real rclpy node; lifecycle nodes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import List  # noqa: UP035  (the way types are given to ParameterValue)

import launch.logging
import pytest
import yaml
from launch.actions import (
    EmitEvent,
    GroupAction,
    OpaqueFunction,
    RegisterEventHandler,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
)
from launch.substitutions import LaunchConfiguration, SubstitutionFailure, TextSubstitution
from launch_file import run_launch
from launch_ros.actions import (
    LifecycleNode,
    LifecycleTransition,
    Node,
    PushROSNamespace,
    PushRosNamespace,
    RosTimer,
    SetParameter,
    SetParametersFromFile,
    SetRemap,
    SetUseSimTime,
)
from launch_ros.descriptions import Parameter, ParameterFile, ParameterValue
from launch_ros.substitutions import ExecutableInPackage, FindPackagePrefix, FindPackageShare
from launch_ros.substitutions import Parameter as ParameterSubstitution
from launch_ros.utilities import evaluate_parameters, normalize_parameters

from launch import LaunchContext

PROBE = str(Path(__file__).with_name("probe_node.py"))


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    monkeypatch.setenv("ROS_DOMAIN_ID", "41")
    launch.logging.reset()
    yield
    launch.logging.reset()


def probe(**kwargs):
    """A node that tells what it was started with."""
    arguments = [PROBE, *kwargs.pop("arguments", [])]
    return Node(executable=sys.executable, arguments=arguments, exec_name="probe", output="screen", **kwargs)


@pytest.fixture
def told(capsys):
    """Run entities; what the one probe among them told."""

    def run(*entities):
        code, _ = run_launch(*entities)
        output = capsys.readouterr().out
        found = re.findall(r"\] told (.*)", output)
        assert code == 0 and len(found) == 1, output
        return json.loads(found[0])

    return run


def test_names_parameters_and_remappings_reach_the_node(told, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(
        "/lab/arm:\n  ros__parameters:\n    from_file: 1.5\n    both: file\n/other:\n  ros__parameters:\n    no: 1\n"
    )
    answer = told(
        SetLaunchConfiguration("count", "3"),
        probe(
            name="arm",
            namespace="lab",
            parameters=[
                file,
                {
                    "both": "dictionary",
                    "count": LaunchConfiguration("count"),
                    "text": ParameterValue(LaunchConfiguration("count"), value_type=str),
                    "looks_like_a_bool": "true",
                    "switch": True,
                    "gains": [1, 2.5],
                    "words": ["a", "b"],
                    "nested": {"deep": {"number": -7}},
                    "tiny": 1e-7,
                },
                Parameter("single", [LaunchConfiguration("count"), "0"], value_type=int),
                Parameter("empty", ""),
            ],
            remappings=[("chatter", ["said_", LaunchConfiguration("count")])],
            arguments=["--first", LaunchConfiguration("count")],
        ),
    )
    assert answer["name"] == "/lab/arm"
    assert answer["chatter"] == "/lab/said_3"
    assert answer["arguments"] == ["--first", "3"]
    assert answer["parameters"] == {
        "from_file": 1.5,
        "both": "dictionary",
        "count": 3,
        "text": "3",
        "looks_like_a_bool": "true",
        "switch": True,
        "gains": [1.0, 2.5],
        "words": ["a", "b"],
        "nested.deep.number": -7,
        "tiny": 1e-7,
        "single": 30,
        "empty": "",
    }


def test_node_without_name_keeps_its_own_and_gets_its_parameters(told):
    answer = told(probe(parameters=[{"a": 1}], ros_arguments=["--log-level", "warn"]))
    assert answer["name"] == "/probe" and answer["parameters"] == {"a": 1}


def test_settings_for_all_nodes_hold_within_their_scope(told, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("/**:\n  ros__parameters:\n    from_file: true\n    a: 0\n")
    inner = GroupAction(
        [
            PushRosNamespace("lab"),
            PushROSNamespace("left"),
            SetParametersFromFile(str(file)),
            SetParameter("a", 1),
            SetParameter("b", "set"),
            SetRemap("chatter", "talk"),
            probe(name="arm", namespace="hand", parameters=[{"b": "own"}]),
        ]
    )
    answer = told(inner)
    assert answer["name"] == "/lab/left/hand/arm"
    assert answer["chatter"] == "/lab/left/hand/talk"
    assert answer["parameters"] == {"from_file": True, "a": 1, "b": "own"}
    scope = GroupAction([PushRosNamespace("lab"), SetParameter("a", 1), SetRemap("chatter", "talk")])
    answer = told(SetParameter("b", 2), SetRemap("other", "o"), scope, probe(name="arm", namespace=""))
    assert (answer["name"], answer["chatter"], answer["parameters"]) == ("/arm", "/chatter", {"b": 2})


@pytest.mark.parametrize(
    "pushed, own, full",
    [
        (["lab"], "arm", "/lab/arm"),
        (["lab"], "/arm", "/arm"),
        (["lab"], "/", "/"),
        (["lab"], "", "/lab"),
        (["lab"], None, "/lab"),
        (["lab", "left"], "arm", "/lab/left/arm"),
        (["lab", "/other"], "arm", "/other/arm"),
        ([], "arm", "/arm"),
        ([], None, Node.UNSPECIFIED_NODE_NAMESPACE),
        ([""], None, "/"),
    ],
)
def test_namespaces(pushed, own, full):
    context = LaunchContext()
    for namespace in pushed:
        PushRosNamespace(namespace).execute(context)
    node = Node(package="any", executable="any", name="n", namespace=own)
    with pytest.raises(RuntimeError, match="before executing"):
        assert node.node_name
    node._perform_substitutions(context)
    assert node.expanded_node_namespace == full
    assert node.node_name == full.rstrip("/") + "/n"
    assert node.is_node_name_fully_specified() is (full != Node.UNSPECIFIED_NODE_NAMESPACE)


@pytest.mark.parametrize(
    "kwargs, complaint",
    [
        ({"name": "no-dashes"}, "Invalid node name 'no-dashes'"),
        ({"name": "a", "namespace": "a//b"}, "Invalid namespace '/a//b'"),
        ({"package": "no_such_package"}, "no_such_package"),
        ({"package": "rclpy"}, "rclpy"),
    ],
)
def test_wrong_names_end_the_launch_with_a_sentence(kwargs, complaint, capsys):
    kwargs = {"executable": "no_such_executable", **kwargs}
    assert run_launch(Node(**kwargs))[0] == 1
    assert complaint in capsys.readouterr().out


@pytest.mark.parametrize(
    "kwargs",
    [
        {"parameters": {"a": 1}},
        {"parameters": "file.yaml"},
        {"parameters": [5.0]},
        {"parameters": [{5: "a"}]},
        {"parameters": [{"a": {"b": {1, 2}}}]},
        {"parameters": [{"a": [1, [2, 3]]}]},
        {"parameters": [{"a": [1, "b"]}]},
        {"parameters": [{"a": []}]},
        {"parameters": [{"a": None}]},
        {"remappings": {"a": "b"}},
        {"remappings": [{"a": "b"}]},
        {"remappings": [("a", "b", "c")]},
        {"nam": "misspelt"},
    ],
)
def test_wrong_arguments_of_a_node_are_refused_at_once(kwargs):
    with pytest.raises(TypeError):
        Node(package="any", executable="any", **kwargs)


def evaluated(value):
    return evaluate_parameters(LaunchContext(), normalize_parameters([{"v": value}]))[0]["v"]


def text(value):
    return TextSubstitution(text=value)


@pytest.mark.parametrize(
    "value, result",
    [
        ("1", "1"),
        (text("1"), 1),
        (text("off"), False),
        ([text("1"), text("2")], 12),
        ([[text("1")], [text("2")]], (1, 2)),
        ([[text("a")], "b"], ("a", "b")),
        (["1", "2"], ("1", "2")),
        ([1, 2.5], (1.0, 2.5)),
        (text("[1, 2]"), (1, 2)),
        (text(""), ""),
        (ParameterValue(text("1"), value_type=float), 1.0),
        (ParameterValue(text("[1, 2]"), value_type=List[int]), (1, 2)),  # noqa: UP006
    ],
)
def test_parameter_values(value, result):
    assert evaluated(value) == result
    assert type(evaluated(value)) is type(result)


@pytest.mark.parametrize("value", [text("{a: 1}"), text("[1, 2.0]"), text("[]"), [[text("1")], [text("a")]]])
def test_parameter_values_that_rcl_cannot_take(value):
    with pytest.raises(TypeError):
        evaluated(value)


def test_parameter_of_another_type_than_asked_for():
    for value in (text("abc"), "1"):
        with pytest.raises(ValueError):
            Parameter("a", value, value_type=int).evaluate(LaunchContext())


def test_parameter_file_with_substitutions(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBOT", "meca")
    file = tmp_path / "p.yaml"
    file.write_text("/$(env ROBOT):\n  ros__parameters:\n    share: $(find-pkg-share rclpy)\n    money: '$5'\n")
    description = ParameterFile(file, allow_substs=True)
    path = description.evaluate(LaunchContext())
    parameters = yaml.safe_load(path.read_text())["/meca"]["ros__parameters"]
    assert parameters["share"].endswith("share/rclpy") and parameters["money"] == "$5"
    description.cleanup()
    assert not path.exists()
    assert ParameterFile(str(file)).evaluate(LaunchContext()) == file
    file.write_text("a: $(env ROBOT): b")
    with pytest.raises(SubstitutionFailure, match="expected YAML"):
        ParameterFile(file, allow_substs=True).evaluate(LaunchContext())


def test_temporary_files_are_removed_at_the_end(tmp_path):
    code = (
        "from launch import LaunchContext; from launch_ros.actions import Node\n"
        "node = Node(package='p', executable='e', parameters=[{'a': 1}])\n"
        "node._perform_substitutions(LaunchContext())\n"
        "print(node._Node__expanded_parameter_arguments[0][0])"
    )
    path = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert "launch_params_" in path and not Path(path).exists()


def test_missing_parameter_file_is_warned_of(told, capsys):
    node = probe(name="arm", namespace="", parameters=["/no/such/file.yaml", {"a": 1}])
    run_launch(node)
    output = capsys.readouterr().out
    assert "Parameter file path is not a file: /no/such/file.yaml" in output and '"a": 1' in output


def test_same_name_twice_is_warned_of(capsys):
    nodes = [Node(executable=sys.executable, arguments=["-c", "pass"], name="a", namespace="b") for _ in range(2)]
    assert run_launch(*nodes)[0] == 0
    assert "there are now at least 2 nodes with the name /b/a" in capsys.readouterr().out


def test_package_substitutions():
    context = LaunchContext()
    prefix = FindPackagePrefix("rclpy").perform(context)
    assert FindPackageShare("rclpy").perform(context) == f"{prefix}/share/rclpy"
    assert (FindPackageShare("rclpy") / "package.xml").perform(context) == f"{prefix}/share/rclpy/package.xml"
    with pytest.raises(KeyError, match="no_such_package"):
        FindPackageShare("no_such_package").perform(context)
    with pytest.raises(SubstitutionFailure, match="rclpy"):
        ExecutableInPackage("no_such", "rclpy").perform(context)


def test_parameter_substitution():
    context = LaunchContext()
    SetParameter("speed", 2).execute(context)
    SetParameter("speed", 3).execute(context)
    assert ParameterSubstitution("speed").perform(context) == "3"
    assert ParameterSubstitution("none", default="d").perform(context) == "d"
    with pytest.raises(SubstitutionFailure, match="'none'"):
        ParameterSubstitution("none").perform(context)


def test_what_is_left_out_says_so():
    with pytest.raises(ImportError, match="ComposableNodeContainer is not supported by src/ros_on_pip"):
        from launch_ros.actions import ComposableNodeContainer  # noqa: F401
    with pytest.raises(ImportError, match="ComposableNode is not supported"):
        from launch_ros.descriptions import ComposableNode  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name 'Nodde'"):
        from launch_ros.actions import Nodde  # noqa: F401


def test_importing_and_launching_does_not_import_rclpy():
    code = (
        "import sys; from launch import *; from launch_ros.actions import *\n"
        "service = LaunchService()\n"
        "service.include_launch_description(LaunchDescription([Node(executable='true', parameters=[{'a': 1}])]))\n"
        "sys.exit(service.run() or 'rclpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def lifecycle_probe(**kwargs):
    return LifecycleNode(
        executable=sys.executable, arguments=[PROBE, "lifecycle"], name="probe", namespace="managed", **kwargs
    )


def recorder(seen):
    """Notes the states that lifecycle nodes come to."""
    from launch_ros.event_handlers import OnStateTransition

    note = OpaqueFunction(function=lambda context: seen.append(context.locals.event.goal_state))
    return RegisterEventHandler(OnStateTransition(entities=[note]))


def test_lifecycle_node_obeys_events_and_tells_its_states():
    from launch.events.matchers import matches_action
    from launch_ros.event_handlers import OnStateTransition
    from launch_ros.events.lifecycle import ChangeState
    from lifecycle_msgs.msg import Transition

    node = lifecycle_probe()
    seen = []

    def change(transition):
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    code, _ = run_launch(
        recorder(seen),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node, goal_state="inactive", entities=[change(Transition.TRANSITION_ACTIVATE)]
            )
        ),
        RegisterEventHandler(OnStateTransition(goal_state="active", entities=[Shutdown()])),
        node,
        change(Transition.TRANSITION_CONFIGURE),
        TimerAction(period=30.0, actions=[Shutdown(reason="too late")]),
    )
    assert code == 0
    assert seen == ["configuring", "inactive", "activating", "active"]


@pytest.mark.parametrize("by", ["autostart", "transition"])
def test_lifecycle_node_is_brought_up(by):
    from launch_ros.event_handlers import OnStateTransition

    entities = [lifecycle_probe(autostart=by == "autostart")]
    if by == "transition":
        entities.append(LifecycleTransition(lifecycle_node_names=["managed/probe"], transition_ids=[1, 3]))
    seen = []
    code, _ = run_launch(
        recorder(seen),
        RegisterEventHandler(OnStateTransition(goal_state="active", entities=[Shutdown()])),
        *entities,
        TimerAction(period=30.0, actions=[Shutdown(reason="too late")]),
    )
    assert code == 0 and seen[-1] == "active"


def test_waiting_for_a_lifecycle_node_ends_with_the_launch(capsys):
    node = LifecycleNode(
        executable=sys.executable,
        arguments=["-c", "import time; time.sleep(30)"],
        name="a",
        namespace="",
        autostart=True,
    )
    code, _ = run_launch(node, TimerAction(period=0.3, actions=[Shutdown()]))
    assert code == 0
    assert "Abandoning wait for the service '/a/change_state', due to shutdown" in capsys.readouterr().out


def test_timer_in_ros_time(environment, graph):
    from rosgraph_msgs.msg import Clock

    fired = []
    publisher = graph.node.create_publisher(Clock, "/clock", 10)
    message = Clock()

    def tick():
        message.clock.sec += 100
        publisher.publish(message)

    graph.node.create_timer(0.02, tick)
    timer = RosTimer(period=1000.0, actions=[OpaqueFunction(function=lambda context: fired.append(1))])
    assert run_launch(SetUseSimTime(True), timer)[0] == 0
    assert fired == [1]
