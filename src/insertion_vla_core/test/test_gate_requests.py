"""What people ask of the gate: stop, re-arm, retract; and what they see of it."""

import math

import numpy as np
import pytest
from gate_rig import LIMITS, Rig, line
from insertion_vla_core.decision import Decision, Refused, State

FORWARD = [0.012, 0.004, -0.006]
SLOWLY = [0.0, 0.0, -0.0015]


def faulted(force_n: float = 0.0) -> Rig:
    rig = Rig()
    rig.move(SLOWLY, aux=1.0)
    rig.gate.fault("stopped by the operator")
    rig.force_n = force_n
    rig.run(0.1)
    return rig


def test_before_the_first_robot_state_the_gate_is_off() -> None:
    rig = Rig()
    rig.robot_alive = False
    rig.run(0.5)
    assert rig.state is State.OFF and not any(d.twist.any() for d in rig.decisions)
    rig.robot_alive = True
    rig.tick()
    assert rig.state is State.HOLD


def test_off_stops_and_the_next_robot_state_leads_to_hold() -> None:
    rig = Rig()
    rig.move(FORWARD)
    decision = rig.gate.off("node deactivated")
    assert decision.state is State.OFF and not decision.twist.any()
    rig.robot_alive = False
    rig.run(0.1)
    assert rig.state is State.OFF
    rig.robot_alive = True
    assert rig.tick().state is State.HOLD


def test_off_does_not_undo_a_fault() -> None:
    rig = faulted()
    rig.gate.off("node deactivated")
    rig.run(0.2)
    assert rig.state is State.FAULT


def test_nothing_moves_without_permission() -> None:
    rig = Rig()
    rig.permit = False
    rig.follow(line(rig.pose, FORWARD))
    rig.run(1.0)
    assert rig.state is State.HOLD and "does not permit" in rig.decisions[-1].reason
    assert not any(d.twist.any() for d in rig.decisions)


def test_a_permission_without_a_goal_is_none() -> None:
    rig = Rig()
    rig.goal = ""
    rig.follow(line(rig.pose, FORWARD))
    rig.run(1.0)
    assert rig.state is State.HOLD and "naming a goal" in rig.decisions[-1].reason


def test_rearm_is_refused_while_the_force_is_above_the_hard_limit() -> None:
    rig = Rig()
    rig.move(SLOWLY, aux=1.0)
    rig.gate.force(2.5, rig.now_s)
    rig.force_n = 2.5
    rig.run(0.2)
    with pytest.raises(Refused, match="hard limit"):
        rig.gate.rearm(rig.now_s)
    assert rig.state is State.FAULT


def test_rearm_is_refused_while_the_force_or_the_robot_is_silent() -> None:
    rig = faulted()
    rig.force_n = None
    rig.run(0.1)
    with pytest.raises(Refused, match="no force sample"):
        rig.gate.rearm(rig.now_s)
    rig.force_n = 0.0
    rig.robot_alive = False
    rig.run(0.1)
    with pytest.raises(Refused, match="robot state"):
        rig.gate.rearm(rig.now_s)
    assert rig.state is State.FAULT


def test_rearm_never_starts_motion_only_a_new_goal_does() -> None:
    rig = faulted()
    rig.gate.rearm(rig.now_s)
    assert rig.state is State.HOLD
    rig.follow(line(rig.pose, FORWARD))
    rig.aux = 0.0
    rig.assert_stationary()  # the heartbeat still permits, chunks still come
    assert "new goal" in rig.decisions[-1].reason
    rig.permit = False
    rig.run(0.3)
    rig.permit = True
    rig.assert_stationary(1.0)  # permission for the same goal again is no new goal
    rig.goal = "goal-2"
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)


def test_a_goal_that_came_during_the_fault_does_not_start_on_rearm() -> None:
    rig = faulted()
    rig.goal = "goal-2"
    rig.run(0.5)
    rig.gate.rearm(rig.now_s)
    rig.assert_stationary()


def test_a_fault_is_never_left_by_itself() -> None:
    rig = faulted()
    rig.run(5.0)
    assert rig.state is State.FAULT and not any(d.twist.any() for d in rig.decisions[-400:])


@pytest.mark.parametrize("in_fault", [True, False])
def test_retract_pulls_back_along_the_needle_and_returns_to_where_it_began(in_fault: bool) -> None:
    rig = faulted() if in_fault else Rig()
    rig.run(0.1)
    start = rig.pose
    count = len(rig.decisions)
    rig.gate.retract(0.015, rig.now_s)
    assert rig.state is State.RETRACTING
    end = State.FAULT if in_fault else State.HOLD
    rig.run_until(end, 6.0)
    moved = rig.pose.position - start.position
    assert moved @ -start.rotation[:, 2] == pytest.approx(0.015, abs=3e-4)
    assert np.linalg.norm(np.cross(moved, start.rotation[:, 2])) < 5e-5
    assert np.allclose(rig.pose.rotation, start.rotation, atol=1e-4)
    assert max(np.linalg.norm(d.twist[:3]) for d in rig.decisions[count:]) <= LIMITS.retract_speed * 1.001
    report = rig.gate.retract_report
    assert report is not None and report.complete and report.travelled_m == pytest.approx(0.015, abs=2e-4)
    rig.assert_stationary()


def test_retract_keeps_to_the_line_of_the_needle() -> None:
    rig = Rig()
    rig.run(0.1)
    start = rig.pose
    rig.gate.retract(0.015, rig.now_s)
    rig.run(0.5)
    rig.push([0.0004, 0.0, 0.0])
    rig.run_until(State.HOLD, 6.0)
    assert np.linalg.norm((rig.pose.position - start.position)[:2]) < 5e-5


def test_retract_stops_if_the_force_rises() -> None:
    rig = faulted()
    rig.gate.retract(0.02, rig.now_s)
    rig.run(0.5)
    assert rig.state is State.RETRACTING
    decision = rig.gate.force(-0.4, rig.now_s)
    assert isinstance(decision, Decision) and decision.state is State.FAULT and not decision.twist.any()
    report = rig.gate.retract_report
    assert report is not None and not report.complete and "force rose" in report.message


def test_retract_out_of_a_strong_contact_is_what_it_is_for() -> None:
    rig = Rig()
    rig.move(SLOWLY, aux=1.0)
    rig.gate.force(2.5, rig.now_s)
    start = rig.pose
    rig.force_n = 2.5
    rig.run(0.1)
    rig.gate.retract(0.003, rig.now_s)
    while rig.state is State.RETRACTING:
        rig.force_n = max(0.0, 2.5 - 2000.0 * float((rig.pose.position - start.position) @ -start.rotation[:, 2]))
        rig.tick()
    report = rig.gate.retract_report
    assert report is not None and report.complete, report
    assert rig.state is State.FAULT
    rig.run(0.1)
    rig.gate.rearm(rig.now_s)


def test_row_03_retract_ends_in_fault_when_the_force_goes_silent() -> None:
    rig = Rig()
    rig.run(0.1)
    rig.gate.retract(0.02, rig.now_s)
    rig.run(0.3)
    rig.force_n = None
    rig.run_until(State.FAULT, 0.04)
    assert not rig.decisions[-1].twist.any()


def test_retract_ends_when_the_robot_state_is_old_or_the_robot_does_not_move() -> None:
    rig = Rig()
    rig.run(0.1)
    rig.gate.retract(0.02, rig.now_s)
    rig.run(0.3)
    rig.robot_alive = False
    rig.run_until(State.HOLD, 0.1)
    rig.robot_alive = True
    rig.run(0.1)
    rig.gate.retract(0.002, rig.now_s)
    rig._commands.extend([np.zeros(6)] * 1000)  # the arm stands still whatever is commanded
    rig.run_until(State.HOLD, 5.0)
    report = rig.gate.retract_report
    assert report is not None and "did not follow" in report.message


def test_retract_stop_and_limits_of_the_distance() -> None:
    rig = Rig()
    rig.run(0.1)
    for distance in (0.0, -0.01, 0.0009, 0.11, math.nan, math.inf):
        with pytest.raises(Refused, match="expected a distance"):
            rig.gate.retract(distance, rig.now_s)
    rig.gate.retract(0.05, rig.now_s)
    with pytest.raises(Refused, match="RETRACTING"):
        rig.gate.retract(0.05, rig.now_s)
    rig.run(0.5)
    decision = rig.gate.retract_stop()
    assert decision.state is State.HOLD and not decision.twist.any()
    assert rig.gate.retract_report is not None and 0.0 < rig.gate.retract_report.travelled_m < 0.01
    rig.assert_stationary()


def test_a_retract_during_a_goal_ends_that_goals_motion() -> None:
    rig = Rig()
    rig.move(FORWARD)
    rig.gate.retract(0.005, rig.now_s)
    rig.run_until(State.HOLD, 5.0)
    rig.assert_stationary(1.0)


def test_the_edge_of_the_workspace_ends_a_retract_with_the_reason() -> None:
    rig = Rig()
    rig.run(0.1)
    top = float(rig.pose.position[2]) + 0.004
    tight = {**LIMITS.model_dump(), "workspace_max": (0.32, 0.15, top)}
    rig.gate.tighten(type(LIMITS)(**tight))
    rig.gate.retract(0.02, rig.now_s)
    rig.run_until(State.HOLD, 8.0)
    assert "workspace" in rig.decisions[-1].reason
    assert rig.pose.position[2] < top


def test_status_holds_what_arm_state_needs() -> None:
    rig = Rig()
    status = rig.gate.status(rig.now_s, rig.now_ns)
    assert math.isnan(status.force_n) and math.isnan(status.force_age_s) and math.isnan(status.robot_age_s)
    assert math.isnan(status.chunk_age_s) and status.session == ""
    rig.move(FORWARD)
    status = rig.gate.status(rig.now_s, rig.now_ns)
    assert abs(status.force_n) < 0.05 and 0.0 <= status.force_age_s < 0.002 and status.robot_age_s == 0.0
    assert 0.1 <= status.chunk_age_s < 0.21 and status.session == "session-a"
    assert status.chunks_accepted >= 3 and status.missed_deadlines == 0
