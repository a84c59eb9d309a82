"""`ros2` node, lifecycle, service, action and param."""

import signal

import pytest
import yaml
from conftest import wait_for

pytestmark = pytest.mark.usefixtures("peer")
SHORT = ["--spin-time", "0.2"]
ACTION = "insertion_vla_interfaces/action/RunInsertion"


def test_node_list_and_info(ros2):
    code, out, _ = ros2("node", "list")
    assert code == 0 and out.splitlines() == ["/arm/driver"]
    code, out, _ = ros2("node", "info", "/arm/driver")
    assert code == 0 and out.startswith("/arm/driver\n  Subscribers:\n")
    publishers = out[out.index("  Publishers:") : out.index("  Service Servers:")].splitlines()
    assert "    /fast: geometry_msgs/msg/WrenchStamped" in publishers
    services = out[out.index("  Service Servers:") : out.index("  Service Clients:")].splitlines()
    assert "    /arm/driver/enable: std_srvs/srv/SetBool" in services
    assert f"  Action Servers:\n    /arm/run: {ACTION}\n" in out
    assert "/_hidden" not in out


def test_a_wrong_domain_is_told(ros2, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "many")
    code, _, errors = ros2("node", "list")
    assert code == 1 and errors.startswith("ros2 node: cannot join ROS domain 'many': ") and errors.count("\n") == 1


def test_lifecycle(ros2):
    node = "/arm/driver"
    assert ros2("lifecycle", "nodes") == (0, f"{node}\n", "")
    assert ros2("lifecycle", "get", node) == (0, "unconfigured [1]\n", "")
    code, out, _ = ros2("lifecycle", "list", node)
    assert code == 0 and out.startswith("- configure [1]\n\tStart: unconfigured\n\tGoal: configuring\n")
    assert ros2("lifecycle", "set", node, "configure") == (0, "Transitioning successful\n", "")
    assert ros2("lifecycle", "get", node) == (0, "inactive [2]\n", "")
    assert ros2("lifecycle", "set", node, "activate") == (1, "", "ros2 lifecycle: Transitioning failed\n")
    code, _, errors = ros2("lifecycle", "set", node, "configure")
    assert code == 1 and "no transition of '/arm/driver' in state inactive [2]; possible: cleanup" in errors
    assert ros2("lifecycle", "set", node, "2")[:2] == (0, "Transitioning successful\n")
    assert ros2("lifecycle", "get") == (0, f"{node}: unconfigured [1]\n", "")


def test_service(ros2):
    code, out, _ = ros2("service", "list", "-t")
    assert code == 0 and "/arm/driver/enable [std_srvs/srv/SetBool]" in out.splitlines()
    code, out, _ = ros2("service", "call", "/arm/driver/enable", "std_srvs/srv/SetBool", "{data: true}")
    assert (code, out) == (
        0,
        "requester: making request: std_srvs.srv.SetBool_Request(data=True)\n\n"
        "response:\nstd_srvs.srv.SetBool_Response(success=True, message='enabled: True')\n\n",
    )
    assert "message='enabled: False'" in ros2("service", "call", "/arm/driver/enable")[1]


def test_param(ros2):
    node = "/arm/driver"
    code, out, _ = ros2("param", "list", node)
    assert code == 0 and {"  gain.kp", "  name", "  axes"} <= set(out.splitlines())
    assert ros2("param", "get", node, "gain.kp") == (0, "Double value is: 1.5\n", "")
    assert ros2("param", "get", node, "name", "--hide-type") == (0, "left\n", "")
    assert ros2("param", "set", node, "gain.kp", "2.5") == (0, "Set parameter successful\n", "")
    code, _, errors = ros2("param", "set", node, "gain.kp", "-1.0")
    assert code == 1 and "Setting parameter failed: gain.kp must be >= 0" in errors
    code, out, _ = ros2("param", "dump", node)
    dumped = yaml.safe_load(out)[node]["ros__parameters"]
    assert code == 0 and dumped["gain"] == {"kp": 2.5} and dumped["axes"] == [1, 2] and dumped["name"] == "left"
    assert ros2("param", "set", node, "gain.kp", "1.5")[0] == 0


def test_action_list_and_goal(ros2):
    assert ros2("action", "list", "-t") == (0, f"/arm/run [{ACTION}]\n", "")
    code, out, _ = ros2("action", "send_goal", "/arm/run", ACTION, "{instruction: go, timeout: 0.2}", "--feedback")
    assert code == 0
    assert "Sending goal:\n    instruction: go\n" in out and "Goal accepted with ID: " in out
    assert "Feedback:\n    phase: 0\n" in out
    assert "Result:\n    success: true\n    reason: done\n" in out
    assert out.endswith("Goal finished with status: SUCCEEDED\n")


def test_goals_that_do_not_succeed(ros2):
    code, out, _ = ros2("action", "send_goal", "/arm/run", ACTION, "{instruction: abort}")
    assert code == 1 and out.endswith("Goal finished with status: ABORTED\n")
    code, _, errors = ros2("action", "send_goal", "/arm/run", ACTION, "{instruction: reject}")
    assert (code, errors) == (1, "ros2 action: Goal was rejected.\n")
    code, out, _ = ros2("action", "send_goal", "/arm/run", ACTION, "{timeout: 60}", "--timeout", "0.2")
    assert code == 1 and out.endswith("Goal finished with status: CANCELED\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_goal_is_canceled(ros2_process, peer, number):
    before = peer.text.count("goal was canceled")
    goal = ros2_process("action", "send_goal", "/arm/run", ACTION, "{timeout: 60}")
    goal.wait_for("Goal accepted")
    assert goal.end(number) == signal.SIGINT
    assert "Goal finished with status: CANCELED" in goal.text and "Traceback" not in goal.text
    wait_for(lambda: peer.text.count("goal was canceled") == before + 1, "the server to see the cancellation")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["node", "info", "/arm/diver"], "no node '/arm/diver' found; did you mean '/arm/driver'?"),
        (["lifecycle", "get", "/arm/diver", *SHORT], "no node '/arm/diver' found"),
        (["service", "call", "/arm/driver/enabel", "std_srvs/srv/SetBool"], "did you mean '/arm/driver/enable'?"),
        (["service", "call", "/arm/driver/enable", "std_srvs/srv/SetBol"], "unknown service type"),
        (["service", "call", "/arm/driver/enable", "std_srvs/srv/SetBool", "{data: 3.5}"], "do not fit"),
        (["param", "get", "/arm/diver", "x", *SHORT], "no node '/arm/diver' found"),
        (["param", "get", "/arm/driver", "x"], "Parameter not set: '/arm/driver' has no 'x'"),
        (["action", "send_goal", "/arm/ran", ACTION, "{}"], "did you mean '/arm/run'?"),
        (["action", "send_goal", "/arm/run", "a/action/B", "{}"], "unknown action type 'a/action/B'"),
    ],
)
def test_mistakes_are_told_in_one_sentence(ros2, arguments, sentence):
    spin = [] if "--spin-time" in arguments else ["--spin-time", "1.5"]
    code, _, errors = ros2(*arguments, *spin)
    assert code == 1
    assert errors.startswith(f"ros2 {arguments[0]}: ") and sentence in errors and errors.count("\n") == 1
