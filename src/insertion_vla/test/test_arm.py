"""The arm node against the emulated Meca500: it moves only while everything is well, and stops by itself otherwise."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from emulator import Emulator, environment, running
from geometry_msgs.msg import PoseStamped, WrenchStamped
from insertion_vla.messages import chunk_to_message, pose_from_message, time_from_ns
from insertion_vla.nodes.arm import ArmNode
from insertion_vla.paths import config_file
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.geometry import Pose
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla_interfaces.msg import ActionChunk, ArmState, TaskState
from insertion_vla_interfaces.srv import Retract

DOMAIN, HOST = 51, "127.0.41.3"
# Ages that a starved test machine keeps; the stops that are measured here do not depend on them.
PATIENT = {"force_gap": "0.1", "robot_age": "0.3", "heartbeat_age": "0.5"}
DOWN_M_S = 0.005


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running(HOST) as emulator:
        yield emulator


@pytest.fixture
def limits(tmp_path: Path) -> Path:
    text = config_file("limits.yaml").read_text()
    for name, value in PATIENT.items():
        text, count = re.subn(rf"(?m)^{name}: \S+", f"{name}: {value}", text)
        assert count == 1
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    return path


class Policy:
    """Plays the rest of the graph: force 200 Hz, permission 20 Hz, chunks 10 Hz, from one thread."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.force_n, self.goal, self.permit, self.velocity = 0.0, "goal 1", True, np.array([0.0, 0.0, -DOWN_M_S])
        self.sending_chunks, self.recorded = True, False
        self.session, self.sequence = "session 1", 0
        self.poses = Inbox(graph, PoseStamped, "tool_pose", qos.ROBOT)
        node = graph.node
        self._force = node.create_publisher(WrenchStamped, "force/wrench", qos.WRENCH)
        self._task = node.create_publisher(TaskState, "task/state", qos.STATE)
        self._chunks = node.create_publisher(ActionChunk, "action_expert/chunk", qos.CHUNK)
        self._random = np.random.default_rng(0)
        self._sending = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        k = 0
        while not self._stop.wait(0.005):
            message = WrenchStamped()
            message.wrench.force.z = self.force_n + self._random.normal(0.0, 0.002)
            self._force.publish(message)
            if k % 10 == 0:
                state = TaskState(permit=self.permit, goal_id=self.goal)
                state.header.stamp = time_from_ns(time.time_ns() - (3600 * 10**9 if self.recorded else 0))
                self._task.publish(state)
            with self._sending:
                if k % 20 == 0 and self.sending_chunks and self.poses.messages:
                    self.send(self.chunk())
            k += 1

    def pause_chunks(self) -> None:
        """No more chunks from when this returns."""
        with self._sending:
            self.sending_chunks = False

    def chunk(self, **changes) -> ActionChunk:
        """Straight on from the newest tool pose."""
        newest = self.poses.messages[-1]
        anchor = pose_from_message(newest.pose)
        stamp_ns = newest.header.stamp.sec * 10**9 + newest.header.stamp.nanosec
        self.sequence += 1
        deltas = np.zeros((8, 6))
        deltas[:, :3] = self.velocity * 0.1 * np.arange(1, 9)[:, None]
        fields = {"session": self.session, "sequence": self.sequence, "goal": self.goal, "stamp_ns": stamp_ns}
        fields |= {"anchor": anchor, "dt_s": 0.1, "deltas": deltas, "aux": np.zeros(8)} | changes
        return chunk_to_message(Chunk(**fields))

    def send(self, message: ActionChunk) -> None:
        self._chunks.publish(message)

    def tip(self) -> Pose:
        return pose_from_message(self.poses.messages[-1].pose)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


class Lab:
    """The arm node, the rest of the graph, and the robot."""

    def __init__(self, graph: Graph, emulator: Emulator, limits: Path) -> None:
        self.graph, self.emulator = graph, emulator
        self.states = Inbox(graph, ArmState, "arm/state", qos.STATE)
        self.joints = Inbox(graph, JointState, "joint_states", qos.ROBOT)
        self.diagnostics = Inbox(graph, DiagnosticArray, "/diagnostics", qos.reliable(100))
        self.clients = {
            name: graph.node.create_client(kind, f"arm/{name}")
            for name, kind in (("stop", Trigger), ("rearm", Trigger), ("retract", Retract))
        }
        parameters = {"meca500.address": HOST, "limits_file": str(limits), "diagnostic_updater.period": 0.1}
        parameters |= {"meca500.watchdog_s": 2.0, "meca500.velocity_timeout_s": 0.2}
        self.node = graph.add(ArmNode, **parameters)
        graph.call(self.node.trigger_configure)
        graph.call(self.node.trigger_activate)
        assert self.node.phase == "active", self.node.problem
        self.policy = Policy(graph)
        if self.node.robot_reason:  # what the test before left behind
            self.rearm()
            self.policy.goal = "goal after the trouble"

    def state(self, number: int, words: str = "", start: int | None = None) -> ArmState:
        start = len(self.states.messages) if start is None else start
        return self.states.wait(lambda m: m.state == number and words in m.reason, start=start)

    def moving(self) -> None:
        """Really: the tip is seen to move."""
        self.states.wait(lambda m: m.state in (ArmState.MOVING, ArmState.SLOWED), start=len(self.states.messages))
        start, count = self.policy.tip().position, len(self.policy.poses.messages)
        apart = lambda m: np.linalg.norm(pose_from_message(m.pose).position - start) > 0.001  # noqa: E731
        self.policy.poses.wait(apart, start=count)

    def still(self, for_s: float = 0.5) -> None:
        """The joints come to rest and stay so."""
        at_rest = lambda m: max(map(abs, m.velocity)) < 1e-3  # noqa: E731
        self.joints.wait(at_rest, start=len(self.joints.messages))
        count = len(self.joints.messages)
        messages = self.joints.wait_count(count + round(for_s * 100))[count:]
        assert all(at_rest(m) for m in messages), [max(map(abs, m.velocity)) for m in messages]
        assert np.ptp([m.position for m in messages], axis=0).max() < 1e-4

    def rearm(self) -> None:
        """As soon as the gate agrees: the mean force needs a moment to come down."""
        deadline_s = time.monotonic() + 5.0
        while not (reply := self.call("rearm")).success:
            passing = "mean force" in reply.message or "no force sample" in reply.message
            assert time.monotonic() < deadline_s and passing, reply.message

    def call(self, name: str, request: object = None):
        client = self.clients[name]
        return self.graph.ask(client, request if request is not None else client.srv_type.Request())


@pytest.fixture
def lab(emulator: Emulator, limits: Path) -> Iterator[Lab]:
    emulator.admin("reset", seed=1)
    with open_graph(DOMAIN) as graph:
        lab = Lab(graph, emulator, limits)
        yield lab
        lab.policy.close()
        emulator.admin("clear_faults")


def test_follows_chunks_and_reports_measured_poses(lab):
    lab.moving()
    rejected = lab.states.messages[-1].chunks_rejected  # the first ones came before the first force
    start = lab.policy.tip().position
    lab.policy.poses.wait(lambda m: start[2] - m.pose.position.z > 0.008, start=len(lab.policy.poses.messages))
    moved = lab.policy.tip().position - start
    assert abs(moved[:2]).max() < 5e-4
    state = lab.states.messages[-1]
    assert -0.02 < state.twist[2] < -0.2 * DOWN_M_S and state.session_id == "session 1"
    assert state.chunks_accepted > 3 and state.chunks_rejected == rejected
    names, position = lab.joints.messages[-1].name, lab.joints.messages[-1].position
    assert len(names) == len(position) == 6 and lab.policy.poses.messages[-1].header.frame_id == "base"


def test_hard_force_stops_at_once_latches_and_is_rearmed_by_a_person(lab):
    lab.moving()
    count = len(lab.states.messages)
    sent_s = time.monotonic()
    lab.policy.force_n = 3.0
    lab.state(ArmState.FAULT, "hard limit", start=count)
    robot = lab.emulator.wait(lambda s: s["arm"]["moving"] is False)
    assert robot["robot"]["stop_s"] - sent_s < 0.1 and robot["robot"]["stop_command"].startswith("MoveLinVelWrf")
    assert robot["arm"]["standstill_s"] - sent_s < 0.2
    lab.still()
    refused = lab.call("rearm")
    assert not refused.success and "hard limit" in refused.message
    lab.policy.force_n = 0.0
    lab.still(0.2)
    assert lab.states.messages[-1].state == ArmState.FAULT
    lab.rearm()
    lab.state(ArmState.HOLD)
    lab.still()  # the goal that was running is not resumed
    lab.policy.goal = "goal 2"
    lab.moving()


def test_silence_of_commands_ramps_to_rest_and_resumes_by_itself(lab):
    lab.moving()
    lab.policy.pause_chunks()
    lab.state(ArmState.HOLD)
    lab.still()
    lab.policy.sending_chunks = True
    lab.moving()


def test_silence_of_the_force_is_a_fault_in_motion(lab):
    lab.moving()
    lab.policy.force_n = float("nan")  # what the sensor publishes without a tare counts as nothing
    lab.state(ArmState.FAULT, "no force sample")
    lab.still(0.2)


def test_a_recorded_permission_is_ignored(lab):
    lab.moving()
    lab.policy.recorded = True
    lab.state(ArmState.HOLD, "heartbeat")
    lab.still(0.2)


def test_without_permission_nothing_moves(lab):
    lab.moving()
    lab.policy.permit = False
    lab.state(ArmState.HOLD)
    lab.still()


def test_second_publisher_is_named_and_holds_the_arm(lab):
    lab.moving()
    intruder = rclpy.create_node("intruder", context=lab.graph.context, namespace=lab.graph.namespace)
    rival = intruder.create_publisher(ActionChunk, "action_expert/chunk", qos.CHUNK)
    try:
        deadline_s = time.monotonic() + 10.0
        while lab.states.messages[-1].state != ArmState.HOLD:
            rival.publish(lab.policy.chunk(session="session of the intruder"))
            assert time.monotonic() < deadline_s
            lab.states.wait_count(len(lab.states.messages) + 1)
        named = lambda m: any(s.level == b"\x02" and "intruder" in s.message for s in m.status)  # noqa: E731
        lab.diagnostics.wait(named, start=len(lab.diagnostics.messages))
    finally:
        intruder.destroy_node()
    lab.moving()


@pytest.mark.parametrize(
    ("fault", "words"), [("nan", "nan"), ("shape", "shape"), ("anchor", "shape"), ("jump", "sets in")]
)
def test_a_wrong_chunk_is_rejected_and_holds(lab, fault, words):
    lab.moving()
    lab.policy.pause_chunks()
    wrong = lab.policy.chunk()
    if fault == "nan":
        wrong.data[3] = float("nan")
    elif fault == "shape":
        wrong.horizon, wrong.data = 7, wrong.data[:-1]
    elif fault == "anchor":
        wrong.anchor.orientation.w, wrong.anchor.orientation.x = 0.0, 0.0
        wrong.anchor.orientation.y, wrong.anchor.orientation.z = 0.0, 0.0
    else:
        wrong.anchor.position.x += 0.05
    count = len(lab.states.messages)
    lab.policy.send(wrong)
    lab.states.wait(lambda m: words in m.last_rejection, start=count)
    lab.state(ArmState.HOLD, start=count)
    lab.still(0.2)


def test_motion_error_is_named_and_never_reset_by_the_node(lab):
    lab.moving()
    lab.emulator.admin("fault", name="robot_motion_error")
    lab.state(ArmState.FAULT, "does not follow", start=0)
    lab.still()
    lab.graph.call(lab.node.trigger_deactivate)
    count = len(lab.states.messages)
    lab.graph.call(lab.node.trigger_activate)
    lab.state(ArmState.FAULT, "does not follow", start=count)
    assert lab.emulator.stats()["robot"]["error_code"] != 0
    lab.rearm()
    assert lab.emulator.stats()["robot"]["error_code"] == 0
    lab.policy.goal = "goal 2"
    lab.moving()


def test_dropped_connection_is_a_fault_and_rearm_connects_again(lab):
    lab.moving()
    lab.emulator.admin("fault", name="robot_tcp_drop")
    lab.state(ArmState.FAULT, "connection", start=0)
    lab.emulator.wait(lambda s: not s["arm"]["moving"])
    assert lab.call("rearm").success
    lab.policy.goal = "goal 2"
    lab.moving()


def test_emergency_stop_cannot_be_rearmed_while_pressed(lab):
    lab.moving()
    lab.emulator.admin("fault", name="robot_estop")
    lab.state(ArmState.FAULT, "estop", start=0)
    refused = lab.call("rearm")
    assert not refused.success and "release" in refused.message
    lab.emulator.admin("clear_faults")
    assert lab.call("rearm").success
    lab.state(ArmState.HOLD)


def test_stop_service_latches_and_retract_pulls_back_along_the_needle(lab):
    lab.moving()
    assert lab.call("stop").success
    lab.state(ArmState.FAULT, "arm/stop", start=0)
    lab.still(0.2)
    before = lab.policy.tip()
    done = lab.call("retract", Retract.Request(distance=0.003))
    assert done.success, done.message
    assert done.travelled == pytest.approx(0.003, abs=3e-4)
    along = -before.rotation[:, 2] @ (lab.policy.tip().position - before.position)
    assert along == pytest.approx(0.003, abs=5e-4)
    lab.state(ArmState.FAULT)
    assert not lab.call("retract", Retract.Request(distance=5.0)).success


def test_limits_only_get_tighter(lab):
    def set_limit(value: float):
        return lab.graph.call(lambda: lab.node.set_parameters([Parameter("limits.free_speed", value=value)])[0])

    assert not set_limit(0.03).successful and "free_speed" in set_limit(0.03).reason
    assert not set_limit(float("nan")).successful
    assert set_limit(0.003).successful
    lab.moving()
    slowed = lab.states.wait(
        lambda m: m.state == ArmState.SLOWED and abs(m.twist[2]) > 0.0025, start=len(lab.states.messages)
    )
    assert abs(slowed.twist[2]) <= 0.003 * 1.001


def test_deactivation_stops_first_and_activation_starts_again(lab):
    lab.moving()
    lab.graph.call(lab.node.trigger_deactivate)
    assert lab.node.phase == "inactive"
    robot = lab.emulator.stats()
    assert not robot["arm"]["moving"] and not robot["robot"]["watchdog"] and robot["robot"]["activated"]
    lab.graph.call(lab.node.trigger_activate)
    assert lab.node.phase == "active"
    lab.moving()


def test_sigterm_stops_the_arm_and_ends_cleanly(emulator, limits):
    emulator.admin("reset", seed=1)
    with open_graph(DOMAIN) as graph:
        arguments = ["--ros-args", "-r", f"__ns:={graph.namespace}", "-p", f"meca500.address:={HOST}"]
        arguments += ["-p", f"limits_file:={limits}"]
        command = [sys.executable, "-m", "insertion_vla.nodes.arm", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(DOMAIN)
        )
        policy = None
        try:
            for transition in (1, 3):
                change(graph, transition)
            states = Inbox(graph, ArmState, "arm/state", qos.STATE)
            policy = Policy(graph)
            states.wait(lambda m: m.state == ArmState.MOVING)
            emulator.wait(lambda s: s["arm"]["moving"])
            sent_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=15.0)
        finally:
            process.kill()
            if policy is not None:
                policy.close()
    assert process.returncode == 0, output
    assert "Traceback" not in output
    robot = emulator.stats()
    assert not robot["arm"]["moving"]
    assert robot["robot"]["stop_command"].startswith("MoveLinVelWrf") and robot["robot"]["stop_s"] - sent_s < 0.2


def change(graph: Graph, transition: int) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    client = graph.node.create_client(ChangeState, "arm/change_state")
    reply = graph.ask(client, ChangeState.Request(transition=Transition(id=transition)), 30.0)
    assert reply.success
