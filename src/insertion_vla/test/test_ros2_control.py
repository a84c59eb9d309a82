"""The ros2_control back end of the arm: twists become short trajectories that end at rest, for joints in any order."""

import threading
import time
from collections.abc import Iterator

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
import numpy as np
from insertion_vla.arms.backend import RobotState
from insertion_vla.arms.ros2_control import Ros2Control, Ros2ControlSettings
from insertion_vla.messages import time_from_ns
from insertion_vla.nodes.arm import ArmNode
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import forward, load_arm
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from insertion_vla import qos
from insertion_vla_interfaces.msg import ArmState

DOMAIN = 54
ARM, TOOL = load_arm("meca500"), Pose(np.array([0.0, 0.0, 0.1]), np.eye(3))
START = np.array([0.0, 0.2, 0.2, 0.0, 0.9, 0.0])
STATES, TRAJECTORY = "driver/joint_states", "driver/joint_trajectory"
DOWN = np.array([0.0, 0.0, -0.005, 0.0, 0.0, 0.0])


class Controller:
    """A joint_trajectory_controller and its broadcaster: follows the newest trajectory, names in its own order."""

    def __init__(self, graph: Graph) -> None:
        self.q, self.dq = START.copy(), np.zeros(6)
        self.trajectories = Inbox(graph, JointTrajectory, TRAJECTORY, qos.reliable(500))
        self._publisher = graph.call(lambda: graph.node.create_publisher(JointState, STATES, qos.ROBOT))
        self._order = np.array([3, 1, 0, 2, 5, 4])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        plan: list[tuple[float, np.ndarray]] = []
        taken, before_s = 0, time.monotonic()
        while not self._stop.wait(0.005):
            now_s = time.monotonic()
            if len(self.trajectories.messages) > taken:
                taken = len(self.trajectories.messages)
                points = self.trajectories.messages[-1].points
                plan = [(now_s, self.q)] + [
                    (now_s + p.time_from_start.nanosec * 1e-9, np.array(p.positions)) for p in points
                ]
            if plan:
                times = [t for t, _ in plan]
                q = np.array([np.interp(now_s, times, [p[i] for _, p in plan]) for i in range(6)])
                self.q, self.dq = q, (q - self.q) / max(1e-3, now_s - before_s)
            before_s = now_s
            message = JointState(name=["gripper", *[ARM.joint_names[i] for i in self._order]])
            message.header.stamp = time_from_ns(time.time_ns())
            message.position = [0.5, *self.q[self._order].tolist()]
            message.velocity = [0.0, *self.dq[self._order].tolist()]
            self._publisher.publish(message)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def graph() -> Iterator[Graph]:
    with open_graph(DOMAIN) as graph:
        yield graph


@pytest.fixture
def controller(graph) -> Iterator[Controller]:
    controller = Controller(graph)
    yield controller
    controller.close()


def back_end(graph: Graph, states: list[RobotState]) -> Ros2Control:
    settings = Ros2ControlSettings(
        state_topic=f"{graph.namespace}/{STATES}", trajectory_topic=f"{graph.namespace}/{TRAJECTORY}"
    )
    return graph.call(lambda: Ros2Control(settings, ARM, TOOL, graph.node, states.append, lambda reason: None))


def wait_for(condition, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_streamed_twists_move_the_tip_as_asked_and_stop(graph, controller):
    states: list[RobotState] = []
    robot = back_end(graph, states)
    wait_for(lambda: states and robot._publisher.get_subscription_count())
    np.testing.assert_allclose(states[-1].q, START)  # picked by name out of a permuted message
    start = forward(ARM, states[-1].q) @ TOOL
    begin_s = time.monotonic()
    while time.monotonic() - begin_s < 1.0:
        robot.send(DOWN, states[-1].q)
        time.sleep(0.01)
    robot.halt()
    wait_for(lambda: np.abs(controller.dq).max() < 1e-9)
    moved = (forward(ARM, controller.q) @ TOOL).position - start.position
    # A starved machine lets trajectories run out now and then: then it is less, never more.
    assert -0.0055 < moved[2] < -0.002 and np.abs(moved[:2]).max() < 2e-4


def test_every_trajectory_is_short_and_ends_at_rest(graph, controller):
    states: list[RobotState] = []
    robot = back_end(graph, states)
    wait_for(lambda: states and robot._publisher.get_subscription_count())
    for _ in range(20):
        robot.send(DOWN, states[-1].q)
        time.sleep(0.01)
    for message in controller.trajectories.wait_count(10):
        assert list(message.joint_names) == list(ARM.joint_names)
        last = message.points[-1]
        assert last.time_from_start.sec == 0 and last.time_from_start.nanosec <= 100_000_000
        assert not any(last.velocities)
    # Nothing more is sent: the arm comes to rest by itself within the trajectory's length, a few mm/s further.
    q = controller.q.copy()
    wait_for(lambda: np.abs(controller.dq).max() < 1e-9)
    apart = (forward(ARM, controller.q) @ TOOL).position - (forward(ARM, q) @ TOOL).position
    assert np.linalg.norm(apart) < 0.25 * 0.005


def test_at_a_singularity_it_stands_still(graph, controller):
    states: list[RobotState] = []
    robot = back_end(graph, states)
    wait_for(lambda: states and robot._publisher.get_subscription_count())
    wrist = START.copy()
    wrist[4] = 0.0  # joints 4 and 6 in line
    sideways = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.5])
    robot.send(sideways, wrist)
    robot.send(np.array([0.0, 0.0, 0.0, 0.5, 0.0, 0.0]), wrist)
    messages = controller.trajectories.messages
    assert all(np.abs(np.array(p.positions) - wrist).max() < 0.1 for m in messages for p in m.points)


def test_the_arm_node_holds_on_it_and_refuses_wrong_names(graph, controller):
    topics = {"ros2_control.state_topic": f"{graph.namespace}/{STATES}"}
    topics["ros2_control.trajectory_topic"] = f"{graph.namespace}/{TRAJECTORY}"
    wrong = graph.add(ArmNode, backend="ros2_control", **topics, **{"ros2_control.joints": ["only one"]})
    graph.call(wrong.trigger_configure)
    assert wrong.phase == "unconfigured" and "ros2_control.joints" in wrong.problem
    graph.remove(wrong)
    states = Inbox(graph, ArmState, "arm/state", qos.STATE)
    joints = Inbox(graph, JointState, "joint_states", qos.ROBOT)
    node = graph.add(ArmNode, backend="ros2_control", **topics)
    graph.call(node.trigger_configure)
    graph.call(node.trigger_activate)
    assert node.phase == "active", node.problem
    states.wait(lambda m: m.state == ArmState.HOLD and "force" in m.reason)
    assert list(joints.wait(lambda m: True).name) == list(ARM.joint_names)


def test_without_a_controller_the_arm_is_in_fault_and_says_why(graph):
    states = Inbox(graph, ArmState, "arm/state", qos.STATE)
    node = graph.add(ArmNode, backend="ros2_control", **{"ros2_control.trajectory_topic": "nobody/listens"})
    graph.call(node.trigger_configure)
    graph.call(node.trigger_activate)
    states.wait(lambda m: m.state == ArmState.FAULT and "nobody/listens" in m.reason)
