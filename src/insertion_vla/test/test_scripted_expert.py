"""The scripted expert: its plan comes from the simulation's process, where its privileged knowledge stays."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from ros_graph import Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
import numpy as np
from emulator import Emulator, running
from geometry_msgs.msg import PoseStamped
from insertion_vla.messages import time_from_ns
from insertion_vla.nodes.scripted_expert import ScriptedExpert
from insertion_vla.sim_admin import AdminError, SimAdmin, named_target
from sensor_msgs.msg import JointState

from insertion_vla import qos
from insertion_vla_interfaces.msg import ActionChunk, ForceSamples, TaskState

HOST = "127.0.42.7"
DOMAIN = 59
CONTRACT = Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml"
TOOL = [0.2, 0.01, 0.15, 1.0, 0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def sim() -> Iterator[Emulator]:
    with running(HOST, "--seed", "3") as emulator:
        yield emulator


@pytest.fixture
def admin(sim: Emulator) -> Iterator[SimAdmin]:
    admin = SimAdmin(HOST)
    yield admin
    admin.close()


def test_the_plan_leads_towards_the_named_trocar(admin):
    for colour in ("red", "green", "blue"):
        admin.ask("expert_reset", target=colour)
        plan = admin.ask("expert", tool=TOOL, force_n=0.0, surface_m=None)
        trocar = admin.ask("truth", target=colour)["truth"]["trocars"][colour]
        towards = np.array(trocar["mouth"]) - 0.02 * np.array(trocar["axis"]) - TOOL[:3]
        move = np.array(plan["deltas"])[-1, :3]
        assert move @ towards / np.linalg.norm(move) / np.linalg.norm(towards) > 0.99
        assert np.array(plan["aux"]).shape == (8,) and plan["status"] == "approach"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"tool": TOOL[:6], "force_n": 0.0}, "7 finite numbers"),
        ({"tool": TOOL, "force_n": None}, "finite force_n"),
        ({"tool": [*TOOL[:6], "1"], "force_n": 0.0}, "7 finite numbers"),
        ({"tool": TOOL, "force_n": 0.0, "forces": 1}, "no field 'forces'"),
    ],
)
def test_incomplete_senses_are_refused_in_a_sentence(admin, fields, word):
    admin.ask("expert_reset", target="red")
    with pytest.raises(AdminError, match=word):
        admin.ask("expert", **fields)


def test_an_unknown_trocar_is_refused(admin):
    with pytest.raises(AdminError, match="purple"):
        admin.ask("expert_reset", target="purple")
    with pytest.raises(AdminError, match="names one of"):
        named_target("insert the needle")


def test_the_node_publishes_the_plan_as_chunks_without_any_features(sim):
    with open_graph(DOMAIN) as graph:
        chunks = Inbox(graph, ActionChunk, "action_expert/chunk", qos.reliable(100))
        node = graph.node
        pose_pub = node.create_publisher(PoseStamped, "tool_pose", qos.ROBOT)
        joints_pub = node.create_publisher(JointState, "joint_states", qos.ROBOT)
        force_pub = node.create_publisher(ForceSamples, "force/samples", qos.SAMPLES)
        task_pub = node.create_publisher(TaskState, "task/state", qos.STATE)

        def pump() -> None:
            now_ns = node.get_clock().now().nanoseconds
            pose = PoseStamped()
            joints = JointState(name=[f"joint_{i}" for i in range(1, 7)], position=[0.0] * 6)
            pose.header.stamp = joints.header.stamp = time_from_ns(now_ns)
            pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = TOOL[:3]
            pose.pose.orientation.x, pose.pose.orientation.w = 1.0, 0.0
            stamps = array("q", [now_ns - k * 1_538_462 for k in reversed(range(7))])
            force_pub.publish(ForceSamples(stamps=stamps, receive_stamps=stamps, force=array("f", [0.0] * 7)))
            pose_pub.publish(pose)
            joints_pub.publish(joints)
            task_pub.publish(TaskState(permit=True, goal_id="g", instruction="the red trocar"))

        node.create_timer(0.01, pump)
        expert = graph.add(ScriptedExpert, host=HOST, contract_file=str(CONTRACT))
        graph.call(expert.trigger_configure)
        graph.call(expert.trigger_activate)
        assert expert.phase == "active", expert.problem
        chunk = chunks.wait_count(3)[-1]
        assert chunk.policy_id == "scripted_expert" and chunk.goal_id == "g" and chunk.status == "approach"
        assert chunk.features_stamp.sec == 0 and np.abs(chunk.data).max() > 0.001


def test_without_a_simulation_the_node_refuses_to_configure():
    with open_graph(DOMAIN) as graph:
        expert = graph.add(ScriptedExpert, host="127.0.42.8", contract_file=str(CONTRACT))
        graph.call(expert.trigger_configure)
        assert expert.phase == "unconfigured" and "no simulation answers at 127.0.42.8" in expert.problem
