"""The task node on a graph: goals, refusals, cancels in any state, the heartbeat and the judgement of success."""

from array import array
from collections.abc import Iterator

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from insertion_vla.messages import time_from_ns
from insertion_vla.nodes.task import Task
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla_interfaces.action import RunInsertion
from insertion_vla_interfaces.msg import ActionChunk, ArmState, ForceSamples, SystemState, TaskState
from insertion_vla_interfaces.srv import Retract

DOMAIN = 58
GREEN = "insert the needle into the green trocar"


class Lab:
    """Arm, sensor, expert and lifecycle manager of the test, and the task node."""

    def __init__(self, graph: Graph, **parameters) -> None:
        self.graph = graph
        node = graph.node
        self.tares, self.retracts = 0, []
        self.tare_answer = (True, "")
        self.states = Inbox(graph, TaskState, "task/state", qos.reliable(500))
        self._system = node.create_publisher(SystemState, "system/state", qos.SYSTEM)
        self._arm = node.create_publisher(ArmState, "arm/state", qos.STATE)
        self._pose = node.create_publisher(PoseStamped, "tool_pose", qos.ROBOT)
        self._force = node.create_publisher(ForceSamples, "force/samples", qos.SAMPLES)
        self._chunk = node.create_publisher(ActionChunk, "action_expert/chunk", qos.CHUNK)
        self.tare = node.create_service(Trigger, "force_sensor/tare", self._on_tare)
        node.create_service(Retract, "arm/retract", self._on_retract)
        self.client = ActionClient(node, RunInsertion, "run_insertion", callback_group=ReentrantCallbackGroup())
        self.node = graph.add(Task, dwell_s=0.2, tare_timeout_s=1.0, confirm_timeout_s=0.5, **parameters)
        graph.call(self.node.trigger_configure)
        graph.call(self.node.trigger_activate)
        assert self.node.phase == "active", self.node.problem
        assert self.client.wait_for_server(10.0)
        outputs = (self._arm, self._pose, self._force, self._chunk)
        self.states.wait(lambda _: all(output.get_subscription_count() for output in outputs))
        self.system(SystemState.ACTIVE)
        self.arm(ArmState.HOLD)
        self.pose(0.1)

    # What the rest of the graph says.

    def system(self, state: int, reason: str = "") -> None:
        self.graph.call(lambda: self._system.publish(SystemState(state=state, reason=reason)))

    def arm(self, state: int, reason: str = "", rejected: int = 0) -> None:
        message = ArmState(state=state, reason=reason, chunks_rejected=rejected)
        self.graph.call(lambda: self._arm.publish(message))
        # Goals overtake topics inside an executor: go on when the node has it, looking at every heartbeat.
        self.states.wait(
            lambda _: self.node._arm == message or self.node.phase != "active", start=len(self.states.messages)
        )

    def pose(self, z: float) -> None:
        message = PoseStamped()
        message.pose.position.z = z
        message.pose.orientation.x, message.pose.orientation.w = 1.0, 0.0  # the needle points down
        self.graph.call(lambda: self._pose.publish(message))
        # A robot sends a hundred of them a second; this one pose has to be there before what follows it.
        assert self._pose.wait_for_all_acked(Duration(seconds=5))
        self.states.wait_count(len(self.states.messages) + 1)

    def force(self, *values: float) -> None:
        block = ForceSamples(force=array("f", values), stamps=array("q", range(len(values))))
        self.graph.call(lambda: self._force.publish(block))

    def chunk(self, goal_id: str, aux: float, stamp_s: float = 1.0) -> None:
        message = ActionChunk(goal_id=goal_id, horizon=1, dim=7, data=array("f", [0.0] * 6 + [aux]), status="going")
        message.header.stamp = time_from_ns(int(stamp_s * 1e9))
        message.features_stamp = time_from_ns(int((stamp_s - 0.3) * 1e9))
        self.graph.call(lambda: self._chunk.publish(message))

    def _on_tare(self, _, response):
        self.tares += 1
        response.success, response.message = self.tare_answer
        return response

    def _on_retract(self, request, response):
        self.retracts.append(request.distance)
        response.success = True
        return response

    # What a client does.

    def send(self, instruction: str = GREEN, timeout: float = 0.0):
        return self.graph.result(
            self.client.send_goal_async(RunInsertion.Goal(instruction=instruction, timeout=timeout))
        )

    def result(self, handle):
        return self.graph.result(handle.get_result_async())

    def cancel(self, handle):
        return self.graph.result(handle.cancel_goal_async())

    def permitted(self, handle) -> TaskState:
        return self.states.wait(lambda m: m.permit and m.goal_id == goal_id(handle))

    def forbidden(self, start: int = 0) -> TaskState:
        return self.states.wait(lambda m: not m.permit, start=start)

    def inserting(self, me: str) -> TaskState:
        return self.states.wait(lambda m: m.goal_id == me and m.phase == TaskState.INSERT)

    def phase(self, phase: int, start: int = 0) -> TaskState:
        return self.states.wait(lambda m: m.phase == phase, start=start)


def goal_id(handle) -> str:
    return bytes(handle.goal_id.uuid).hex()


@pytest.fixture
def graph() -> Iterator[Graph]:
    with open_graph(DOMAIN) as graph:
        yield graph


@pytest.fixture
def lab(graph: Graph) -> Lab:
    return Lab(graph)


def test_the_heartbeat_beats_without_permission_while_no_goal_runs(lab):
    beats = lab.states.wait_count(10)
    assert not any(beat.permit for beat in beats) and beats[-1].phase == TaskState.IDLE


def test_a_full_run_succeeds_with_its_figures(lab):
    lab.arm(ArmState.MOVING, rejected=5)
    handle = lab.send()
    assert handle.accepted
    state = lab.permitted(handle)
    assert lab.tares == 1 and state.instruction == GREEN and state.phase == TaskState.APPROACH
    me = goal_id(handle)
    for tick in range(5):
        lab.chunk(me, 0.0, 1.0 + 0.1 * tick)
    lab.chunk(me, 1.0, 1.5)
    lab.phase(TaskState.INSERT)
    lab.pose(0.093)
    lab.force(0.2, 0.9, 0.1)
    lab.arm(ArmState.MOVING, rejected=7)
    deep = lab.states.wait(lambda m: m.depth > 0.0069)
    assert deep.depth == pytest.approx(0.007)
    future = handle.get_result_async()
    lab.chunk(me, 2.0, 1.6)
    for _ in range(200):
        lab.force(0.1)
        if future.done():
            break
        lab.states.wait_count(len(lab.states.messages) + 1)
    answer = lab.graph.result(future)
    result = answer.result
    assert answer.status == GoalStatus.STATUS_SUCCEEDED and result.success, result.reason
    assert result.depth == pytest.approx(0.007) and result.duration > 0.2
    assert result.peak_force == pytest.approx(0.9) and result.final_force == pytest.approx(0.1)
    assert result.chunks == 7 and result.rejected_chunks == 2
    assert result.action_rate == pytest.approx(10.0) and result.features_age_p99 == pytest.approx(0.3)
    after = lab.phase(TaskState.SUCCEEDED)
    assert not after.permit and after.goal_id == ""
    assert lab.retracts == []


def test_goal_after_goal_whatever_the_outcome(lab):
    for aux in (0.0, 2.0, 0.0, 2.0):
        handle = lab.send(timeout=0.5 if aux == 0.0 else 0.0)
        lab.permitted(handle)
        lab.pose(0.1)
        lab.chunk(goal_id(handle), 1.0)
        lab.inserting(goal_id(handle))
        lab.pose(0.09)
        lab.chunk(goal_id(handle), max(1.0, aux))
        future = handle.get_result_async()
        while not future.done():
            lab.force(0.1)
            lab.states.wait_count(len(lab.states.messages) + 1)
        assert future.result().result.success == (aux == 2.0), future.result().result.reason


def test_the_permission_ends_when_the_goal_is_cancelled(lab):
    handle = lab.send()
    lab.permitted(handle)
    seen = len(lab.states.messages)
    assert len(lab.cancel(handle).goals_canceling) == 1
    lab.forbidden(seen)
    answer = lab.result(handle)
    assert answer.status == GoalStatus.STATUS_CANCELED and "cancelled" in answer.result.reason
    last = lab.states.messages[-1]
    assert not last.permit and last.phase == TaskState.FAILED


def test_an_old_cancel_never_stops_a_new_goal(lab):
    old = lab.send()
    lab.permitted(old)
    lab.cancel(old)
    lab.result(old)
    new = lab.send()
    lab.permitted(new)
    assert lab.cancel(old).goals_canceling == []
    lab.states.wait_count(len(lab.states.messages) + 5)
    assert all(m.permit and m.goal_id == goal_id(new) for m in lab.states.messages[-3:])


def test_start_and_cancel_pressed_quickly_keep_the_table(lab):
    for _ in range(15):
        handle = lab.send()
        answer = lab.graph.result(handle.cancel_goal_async())
        assert len(answer.goals_canceling) == 1
        assert lab.result(handle).status == GoalStatus.STATUS_CANCELED
    handle = lab.send()
    lab.permitted(handle)


def test_of_many_goals_sent_at_once_one_runs_and_the_others_are_told_why(lab):
    sent = [lab.client.send_goal_async(RunInsertion.Goal(instruction=GREEN)) for _ in range(5)]
    first, *others = [lab.graph.result(future) for future in sent]
    for other in others:
        answer = lab.result(other)
        assert answer.status == GoalStatus.STATUS_ABORTED and "one goal at a time" in answer.result.reason
    lab.permitted(first)
    assert lab.tares == 1


@pytest.mark.parametrize(
    ("instruction", "timeout", "word"),
    [
        ("", 0.0, "empty"),
        ("insert the needle", 0.0, "exactly one of"),
        (GREEN, -3.0, "timeout"),
        (GREEN, float("nan"), "timeout"),
    ],
)
def test_a_bad_goal_is_refused_in_a_sentence(lab, instruction, timeout, word):
    answer = lab.result(lab.send(instruction, timeout))
    assert answer.status == GoalStatus.STATUS_ABORTED and word in answer.result.reason
    assert lab.tares == 0 and not any(m.permit for m in lab.states.messages)


def test_a_goal_is_refused_while_the_system_is_not_active(lab):
    lab.system(SystemState.DEGRADED, "camera_hand is inactive")
    answer = lab.result(lab.send())
    assert "camera_hand is inactive" in answer.result.reason


def test_a_refused_tare_ends_the_goal_before_anything_moves(lab):
    lab.tare_answer = (False, "the needle touches something")
    answer = lab.result(lab.send())
    assert "the needle touches something" in answer.result.reason
    assert not any(m.permit for m in lab.states.messages)


def test_a_tare_that_comes_too_early_is_asked_for_again(lab):
    lab.tare_answer = (False, "too few samples")
    handle = lab.send()
    lab.states.wait(lambda _: lab.tares >= 2)
    assert not any(m.permit for m in lab.states.messages)
    lab.tare_answer = (True, "")
    lab.permitted(handle)


def test_a_missing_force_sensor_ends_the_goal(lab):
    lab.graph.call(lambda: lab.graph.node.destroy_service(lab.tare))
    lab.states.wait_count(len(lab.states.messages) + 5)
    answer = lab.result(lab.send())
    assert "force_sensor" in answer.result.reason
    assert not any(m.permit for m in lab.states.messages)


def test_a_fault_of_the_arm_ends_the_goal_with_the_cause(lab):
    handle = lab.send()
    lab.permitted(handle)
    lab.arm(ArmState.FAULT, "force 2.31 N above 2 N")
    answer = lab.result(handle)
    assert answer.status == GoalStatus.STATUS_ABORTED and "force 2.31 N" in answer.result.reason
    assert not lab.states.messages[-1].permit
    assert "arm/rearm" in lab.result(lab.send()).result.reason


def test_a_degraded_system_ends_the_goal_and_names_the_node(lab):
    handle = lab.send()
    lab.permitted(handle)
    lab.system(SystemState.DEGRADED, "vlm is inactive")
    assert "vlm is inactive" in lab.result(handle).result.reason


def test_the_time_limit_ends_the_goal(lab):
    lab.arm(ArmState.HOLD, "no chunk yet")
    answer = lab.result(lab.send(timeout=0.3))
    assert "0.3 s" in answer.result.reason and "no chunk yet" in answer.result.reason


def test_deactivation_forbids_motion_and_ends_the_goal(lab):
    handle = lab.send()
    lab.permitted(handle)
    seen = len(lab.states.messages)
    lab.graph.call(lab.node.trigger_deactivate)
    lab.forbidden(seen)
    assert "deactivated" in lab.result(handle).result.reason
    assert not lab.send().accepted
    lab.graph.call(lab.node.trigger_activate)
    lab.system(SystemState.ACTIVE)
    lab.arm(ArmState.HOLD)
    lab.permitted(lab.send())


def test_chunks_of_another_goal_count_for_nothing(lab):
    handle = lab.send()
    lab.permitted(handle)
    lab.chunk("somebody else", 2.0)
    lab.chunk(goal_id(handle), 0.0)
    lab.states.wait(lambda m: m.status == "going")
    lab.cancel(handle)
    assert lab.result(handle).result.chunks == 1


def test_a_broken_pose_does_not_end_the_node(lab):
    lab.pose(float("nan"))
    lab.permitted(lab.send())


def test_an_automatic_retract_is_asked_for_only_when_wanted(graph):
    lab = Lab(graph, auto_retract=True, auto_retract_distance_m=0.02)
    handle = lab.send()
    lab.permitted(handle)
    lab.cancel(handle)
    lab.result(handle)
    lab.arm(ArmState.RETRACTING)
    lab.phase(TaskState.RETRACT)
    assert lab.retracts == [pytest.approx(0.02)]
