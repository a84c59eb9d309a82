"""The state table of the task: start, stop and cancel in any order, and what counts as a success."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla.instruction import Refused
from insertion_vla.task_logic import ARM_FAULT, ARM_RETRACTING, Phase, TaskLogic, TaskSettings

HOLD, MOVING = 1, 2
AXIS = np.array([0.0, 0.0, -1.0])
SENTENCE = "insert the needle into the green trocar"


def ready() -> TaskLogic:
    logic = TaskLogic(TaskSettings(timeout_s=60.0))
    logic.system(True, False, "", 0.0)
    logic.arm(HOLD, "no chunk", 0.0)
    logic.tool(np.array([0.0, 0.0, 0.1]), AXIS)
    return logic


def running() -> TaskLogic:
    logic = ready()
    logic.accept("a", SENTENCE, 0.0, 0.0)
    logic.start("a")
    return logic


def inserted(depth_m: float = 0.007) -> TaskLogic:
    logic = running()
    logic.chunk("a", 0.0, "approach", 1.0)
    logic.chunk("a", 1.0, "insert", 2.0)
    logic.tool(np.array([0.0, 0.0, 0.1 - depth_m]), AXIS)
    return logic


def spin(logic: TaskLogic, start_s: float, end_s: float, force_n: float, distance_m: float = math.nan) -> None:
    for now_s in np.arange(start_s, end_s, 0.05):
        logic.touch(force_n, distance_m, float(now_s))
        logic.step(float(now_s))


def test_motion_is_permitted_only_between_start_and_end():
    logic = ready()
    assert not logic.permit
    logic.accept("a", SENTENCE, 0.0, 0.0)
    assert not logic.permit, "the force sensor is not tared yet"
    logic.start("a")
    assert logic.permit and logic.phase == Phase.APPROACH
    assert logic.fail("a", "cancelled", 1.0)
    assert not logic.permit and logic.phase == Phase.FAILED and logic.outcome.reason == "cancelled"


def test_a_goal_that_comes_before_the_last_word_of_the_bring_up_waits_for_it():
    logic = TaskLogic(TaskSettings())
    logic.system(False, True, "activating task", 0.0)
    logic.accept("a", SENTENCE, 0.0, 0.0)
    logic.arm(HOLD, "", 0.1)
    logic.start("a")
    assert not logic.permit
    logic.system(True, False, "8 nodes active", 0.3)
    assert logic.permit
    logic.system(False, True, "bring-up", 0.4)
    assert not logic.permit and logic.phase == Phase.FAILED


def test_without_any_word_of_the_arm_nothing_is_permitted():
    logic = TaskLogic(TaskSettings())
    logic.system(True, False, "", 0.0)
    logic.accept("a", SENTENCE, 0.0, 0.0)
    logic.start("a")
    assert not logic.permit and "arm/state" in logic.status
    logic.arm(HOLD, "", 0.2)
    assert logic.permit


def test_full_success():
    logic = inserted()
    assert logic.phase == Phase.INSERT and logic.depth_m == pytest.approx(0.007)
    logic.chunk("a", 2.0, "touched", 3.0)
    spin(logic, 3.0, 3.3, force_n=0.05)
    assert logic.phase == Phase.DWELL and logic.permit
    spin(logic, 3.3, 3.7, force_n=0.05)
    assert logic.phase == Phase.SUCCEEDED and not logic.permit
    assert logic.outcome.success and logic.outcome.depth_m == pytest.approx(0.007)


def test_the_a_line_alone_confirms_a_touch():
    logic = inserted()
    logic.chunk("a", 2.0, "touched", 3.0)
    spin(logic, 3.0, 3.7, force_n=0.0, distance_m=0.0002)
    assert logic.outcome.success


def test_a_touch_that_does_not_last_is_no_success():
    logic = inserted()
    logic.chunk("a", 2.0, "touched", 3.0)
    spin(logic, 3.0, 3.3, force_n=0.05)
    spin(logic, 3.3, 3.6, force_n=0.0)
    assert logic.phase == Phase.INSERT
    spin(logic, 3.6, 4.0, force_n=0.05)
    assert logic.phase == Phase.DWELL and logic.outcome is None


@pytest.mark.parametrize(
    ("depth_m", "force_n"),
    [(0.007, 0.0), (0.007, math.nan), (0.0005, 0.1)],
    ids=["no force", "force NaN", "too shallow"],
)
def test_a_policy_that_only_claims_success_fails(depth_m, force_n):
    logic = inserted(depth_m)
    logic.chunk("a", 2.0, "touched", 3.0)
    spin(logic, 3.0, 9.0, force_n)
    assert logic.phase == Phase.FAILED and "no touch is confirmed" in logic.outcome.reason


def test_force_alone_without_the_policys_word_is_no_success():
    logic = inserted()
    spin(logic, 3.0, 20.0, force_n=0.3)
    assert logic.phase == Phase.INSERT and logic.outcome is None


def test_a_policy_that_gives_up_ends_the_goal():
    logic = inserted()
    logic.chunk("a", 1.0, "failed: no hole found", 3.0)
    assert not logic.permit and "no hole found" in logic.outcome.reason


def test_backing_off_starts_the_depth_again():
    logic = inserted()
    logic.chunk("a", 0.0, "search", 3.0)
    assert logic.phase == Phase.APPROACH and math.isnan(logic.depth_m)


def test_timeout_says_in_which_phase_and_why_the_arm_held():
    logic = running()
    logic.arm(HOLD, "features are 2.0 s old", 30.0)
    logic.step(60.1)
    assert logic.phase == Phase.FAILED
    assert "60 s" in logic.outcome.reason and "APPROACH" in logic.outcome.reason
    assert "features are 2.0 s old" in logic.outcome.reason


@pytest.mark.parametrize(
    ("act", "word"),
    [
        (lambda x: x.arm(ARM_FAULT, "force 2.3 N", 1.0), "force 2.3 N"),
        (lambda x: x.arm(ARM_RETRACTING, "", 1.0), "operator"),
        (lambda x: x.system(False, False, "vlm is inactive", 1.0), "vlm is inactive"),
    ],
    ids=["fault", "retract", "degraded"],
)
def test_faults_end_the_goal_with_the_cause(act, word):
    logic = running()
    act(logic)
    assert not logic.permit and logic.phase in (Phase.FAILED, Phase.RETRACT) and word in logic.outcome.reason


def test_retract_shows_as_a_phase_between_goals():
    logic = inserted()
    logic.fail("a", "cancelled", 3.0)
    logic.arm(ARM_RETRACTING, "", 3.1)
    assert logic.shown_phase == Phase.RETRACT and not logic.permit
    logic.arm(HOLD, "", 4.0)
    assert logic.shown_phase == Phase.FAILED


@pytest.mark.parametrize(
    ("instruction", "timeout_s", "word"),
    [
        ("", 0.0, "empty"),
        ("   ", 0.0, "empty"),
        ("insert the needle", 0.0, "exactly one of red, green, blue"),
        ("red then green", 0.0, "exactly one"),
        ("insert into the greenish trocar", 0.0, "exactly one"),
        ("green " * 60, 0.0, "256"),
        ("green\x07", 0.0, "printable"),
        (SENTENCE, -1.0, "-1"),
        (SENTENCE, math.nan, "nan"),
        (SENTENCE, math.inf, "inf"),
        (SENTENCE, 1e6, "600"),
    ],
)
def test_bad_goals_are_refused_in_a_sentence(instruction, timeout_s, word):
    logic = ready()
    with pytest.raises(Refused, match=word):
        logic.accept("a", instruction, timeout_s, 0.0)
    assert logic.goal is None and logic.phase == Phase.IDLE


@pytest.mark.parametrize(
    ("act", "word"),
    [
        (lambda x: x.system(False, False, "arm is inactive", 0.0), "arm is inactive"),
        (lambda x: x.arm(ARM_FAULT, "force 2.3 N", 0.0), "arm/rearm"),
        (lambda x: x.arm(ARM_RETRACTING, "", 0.0), "retracting"),
        (lambda x: x.accept("b", SENTENCE, 0.0, 0.0), "one goal at a time"),
    ],
)
def test_goals_are_refused_while_the_robot_is_not_ready(act, word):
    logic = ready()
    act(logic)
    with pytest.raises(Refused, match=word):
        logic.accept("a", SENTENCE, 0.0, 0.0)


def test_what_belongs_to_an_old_goal_never_touches_the_new_one():
    logic = running()
    logic.fail("a", "cancelled", 1.0)
    logic.accept("b", SENTENCE, 0.0, 2.0)
    assert not logic.fail("a", "cancelled", 2.1)
    logic.start("a")
    assert not logic.permit
    logic.start("b")
    logic.chunk("a", 2.0, "done", 2.2)
    assert logic.permit and logic.phase == Phase.APPROACH and logic.goal.goal_id == "b"


OPERATIONS = st.sampled_from(
    ["accept", "start", "start old", "cancel", "cancel old", "fault", "hold", "retract", "down", "up", "finish", "step"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
def test_any_sequence_keeps_the_promises(operations):
    """Permit only for a started goal on an ACTIVE system with a healthy arm; each goal ends at most once."""
    logic = ready()
    now_s, count, up, arm, started = 0.0, 0, True, HOLD, None
    for operation in operations:
        now_s += 0.3
        current, old = f"goal{count}", f"goal{count - 1}"
        if operation == "accept":
            try:
                logic.accept(f"goal{count + 1}", SENTENCE, 0.0, now_s)
                count += 1
                started = None
                assert up and arm == HOLD
            except Refused:
                pass
        elif operation == "start":
            logic.start(current)
            started = current
        elif operation == "start old":
            logic.start(old)
        elif operation == "cancel":
            logic.fail(current, "cancelled", now_s)
            assert logic.goal is None and not logic.permit
        elif operation == "cancel old":
            before = logic.permit, logic.goal
            logic.fail(old, "cancelled", now_s)
            assert (logic.permit, logic.goal) == before
        elif operation in ("fault", "hold", "retract"):
            arm = {"fault": ARM_FAULT, "hold": HOLD, "retract": ARM_RETRACTING}[operation]
            logic.arm(arm, operation, now_s)
        elif operation in ("down", "up"):
            up = operation == "up"
            logic.system(up, False, operation, now_s)
        elif operation == "finish":
            logic.chunk(current, 2.0, "finished", now_s)
            logic.touch(0.1, math.nan, now_s)
        else:
            logic.step(now_s)
        if logic.permit:
            assert up and arm == HOLD and logic.goal.goal_id == current == started
        assert (logic.outcome is None) == (logic.goal is not None or count == 0)
