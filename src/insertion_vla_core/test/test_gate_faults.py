"""The rows of the fault table that the gate answers for; each test is named after its row."""

import numpy as np
import pytest
from gate_rig import ARM, DOWN, LIMITS, NS, START_Q, Rig, line
from insertion_vla_core.chunk import ChunkDropped, ChunkRejected
from insertion_vla_core.decision import Refused, State
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import forward, inverse
from insertion_vla_core.limits import Limits

FORWARD = [0.012, 0.004, -0.006]  # m/s
SLOWLY = [0.0, 0.0, -0.0015]


def moving(aux: float = 0.0, **options: object) -> Rig:
    rig = Rig(**options)
    rig.move(SLOWLY if aux else FORWARD, aux=aux)
    return rig


@pytest.mark.parametrize("aux", [0.0, 1.0])
def test_row_03_force_silent_in_motion_is_a_fault_within_30_ms(aux: float) -> None:
    rig = moving(aux)
    rig.force_n = None
    rig.run_until(State.FAULT, 0.1)
    assert rig.now_s - rig.last_force_s <= 0.0301
    assert "no force sample for" in rig.decisions[-1].reason
    rig.assert_stationary()
    with pytest.raises(Refused, match="no blind retract: no force sample"):
        rig.gate.retract(0.01, rig.now_s)


def test_row_03_nan_is_no_force() -> None:
    rig = moving()
    rig.force_n = float("nan")
    rig.run_until(State.FAULT, 0.04)
    assert "no force sample for" in rig.decisions[-1].reason


def test_row_03_force_silent_at_rest_holds_and_resumes_by_itself() -> None:
    rig = Rig()
    rig.force_n = None
    rig.follow(line(rig.pose, FORWARD))
    rig.run(1.0)
    assert rig.state is State.HOLD and "no force sample" in rig.decisions[-1].reason
    rig.force_n = 0.0
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)


def test_row_03_a_gap_between_two_cycles_is_seen() -> None:
    rig = moving()
    rig.force_n = None
    assert rig.tick().state is State.MOVING
    decision = rig.gate.force(0.01, rig.last_force_s + 0.0202)
    assert decision is not None and decision.state is State.FAULT and not decision.twist.any()


def test_row_04_soft_limit_slows() -> None:
    rig = moving()
    rig.force_n = 0.3
    rig.run(0.3)
    assert rig.state is State.SLOWED and "force" in rig.decisions[-1].reason
    felt = np.linalg.norm(rig.decisions[-1].twist[:3])
    assert 0.0 < felt <= LIMITS.contact_speed * 1.0001
    rig.aux = 1.0
    rig.follow(line(rig.pose, SLOWLY))
    rig.run(0.3)
    for k in range(60):
        rig.force_n = 0.3 + 0.02 * k
        rig.tick()
    pressed = np.linalg.norm(rig.decisions[-1].twist[:3])
    assert rig.state is State.SLOWED and 0.0 < pressed <= LIMITS.contact_speed * 0.4
    for k in range(60):
        rig.force_n = 1.5 - 0.025 * k
        rig.tick()
    rig.aux, rig.force_n = 0.0, 0.0
    rig.follow(line(rig.pose, FORWARD))
    rig.run(0.5)
    assert rig.state is State.MOVING and np.linalg.norm(rig.decisions[-1].twist[:3]) > 0.010


def test_row_04_hard_limit_stops_within_the_call_and_latches() -> None:
    rig = moving(aux=1.0)
    decision = rig.gate.force(2.01, rig.now_s)
    assert decision is not None and decision.state is State.FAULT and not decision.twist.any()
    assert "hard limit" in decision.reason
    rig.assert_stationary()
    assert rig.state is State.FAULT


def test_row_04_hard_limit_counts_for_pulling_too() -> None:
    rig = moving(aux=1.0)
    decision = rig.gate.force(-2.01, rig.now_s)
    assert decision is not None and decision.state is State.FAULT


def test_row_04_force_rising_too_fast_is_a_fault() -> None:
    rig = moving(aux=1.0)
    assert rig.gate.force(0.2, rig.now_s + 0.001) is None
    decision = rig.gate.force(0.9, rig.now_s + 0.002)
    assert decision is not None and decision.state is State.FAULT and "N/s" in decision.reason


def test_row_04_force_rising_slowly_is_none() -> None:
    rig = moving(aux=1.0)
    for k in range(60):
        rig.force_n = 0.02 * k  # 2 N/s
        rig.tick()
    assert rig.state is State.SLOWED


def test_row_05_stuck() -> None:
    rig = moving(aux=1.0)
    rig.noise_n = 0.0
    took = rig.run_until(State.FAULT, 1.0)
    assert "stuck" in rig.decisions[-1].reason and took <= LIMITS.force_stuck + 0.05
    with pytest.raises(Refused, match="stuck"):
        rig.gate.rearm(rig.now_s)


@pytest.mark.parametrize("value", [8.5, float("inf"), float("-inf")])
def test_row_05_saturated(value: float) -> None:
    rig = moving()
    decision = rig.gate.force(value, rig.now_s)
    assert decision is not None and decision.state is State.FAULT and "saturated" in decision.reason


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_row_05_drifting_without_contact(sign: float) -> None:
    rig = Rig()
    rig.follow(line(rig.pose, [0.0, 0.004, 0.0]))
    for k in range(900):
        rig.force_n = sign * 0.1 * k / 100
        rig.tick()
        if rig.state is State.FAULT:
            break
    assert rig.state is State.FAULT and "drifted" in rig.decisions[-1].reason
    assert abs(rig.force_n) < LIMITS.force_soft + 0.1


def test_row_05_a_lasting_contact_near_the_target_is_no_drift() -> None:
    rig = moving(aux=1.0)
    for k in range(400):
        rig.force_n = min(0.45, 0.005 * k)
        rig.tick()
    assert rig.state in (State.MOVING, State.SLOWED)


def test_row_07_expert_dies() -> None:
    rig = moving()
    rig.kill_expert()
    took = rig.run_until(State.HOLD, 1.0)
    assert took <= LIMITS.chunk_age + 0.15
    speeds = [float(np.linalg.norm(d.twist[:3])) for d in rig.decisions[-20:]]
    steps = np.abs(np.diff([d.twist[:3] for d in rig.decisions[-20:]], axis=0))
    assert speeds[-1] == 0.0 and steps.max() <= LIMITS.linear_acceleration * 0.01 * 1.001
    rig.assert_stationary()
    rig.expert_alive = True
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["deltas", "aux", "anchor"])
def test_row_08_not_finite(value: float, where: str) -> None:
    rig = moving()
    good = rig.make_chunk()
    deltas, aux, anchor = good.deltas.copy(), good.aux.copy(), good.anchor
    if where == "deltas":
        deltas[5, 2] = value
    elif where == "aux":
        aux[3] = value
    else:
        anchor = Pose(np.array([0.1, value, 0.1]), anchor.rotation)
    with pytest.raises(ChunkRejected):
        rig.send(rig.make_chunk(deltas=deltas, aux=aux, anchor=anchor))
    assert rig.gate.step(rig.now_s + 0.01, rig.now_ns + NS // 100).state is State.HOLD
    rig.now_s += 0.01
    rig.run_until(State.MOVING, 0.5)  # resumes with the next good chunk


def test_row_08_robot_state_that_is_not_finite_counts_as_missing() -> None:
    rig = moving()
    rig.robot_alive = False
    for _ in range(8):
        rig.gate.robot(np.full(6, np.nan), None, rig.pose, rig.now_s)
        rig.gate.robot(rig.q, None, Pose(np.full(3, np.nan), np.eye(3)), rig.now_s)
        rig.tick()
    assert rig.state is State.HOLD and "robot state" in rig.decisions[-1].reason


@pytest.mark.parametrize(
    "changes",
    [
        {"deltas": np.zeros((8, 7))},
        {"deltas": np.zeros((7, 6)), "aux": np.zeros(7)},
        {"aux": np.zeros(9)},
        {"dt_s": 0.05},
        {"deltas": np.full((8, 6), 30.0)},  # millimetres and degrees
    ],
)
def test_row_09_wrong_dimension_or_units(changes: dict[str, object]) -> None:
    rig = moving()
    with pytest.raises(ChunkRejected, match="expected"):
        rig.send(rig.make_chunk(**changes))
    assert rig.state is State.HOLD


def test_row_10_jump_between_steps() -> None:
    rig = moving()
    chunk = rig.make_chunk()
    deltas = chunk.deltas.copy()
    deltas[4:, 1] += 0.01
    with pytest.raises(ChunkRejected, match="row 4 asks for .* more than twice"):
        rig.send(rig.make_chunk(deltas=deltas))
    assert rig.tick().state is State.HOLD
    assert "row 4" in rig.decisions[-1].reason


def test_row_10_jump_between_chunks() -> None:
    rig = moving()
    with pytest.raises(ChunkRejected, match="sets in"):
        rig.send(rig.make_chunk(anchor=Pose(rig.pose.position + [0.0, 0.012, 0.0], rig.pose.rotation)))
    assert rig.tick().state is State.HOLD


def test_row_10_up_to_twice_a_limit_is_scaled_down() -> None:
    rig = Rig()
    direction = np.array([0.8, 0.0, -0.6])
    rig.move((direction * LIMITS.free_speed * 1.9).tolist(), seconds=1.0)
    assert rig.state is State.SLOWED and not rig.rejections
    twist = rig.decisions[-1].twist
    assert np.linalg.norm(twist[:3]) == pytest.approx(LIMITS.free_speed)
    assert twist[:3] @ direction == pytest.approx(LIMITS.free_speed, rel=1e-3)  # same line


def test_row_10_beyond_twice_a_limit_is_rejected() -> None:
    rig = Rig()
    rig.follow(line(rig.pose, [LIMITS.free_speed * 2.1, 0.0, 0.0]))
    rig.run(1.0)
    assert rig.state is State.HOLD and rig.rejections
    assert not any(d.twist.any() for d in rig.decisions)


def test_row_10_limits_near_contact_are_those_of_contact() -> None:
    rig = Rig()
    rig.aux = 1.0
    rig.follow(line(rig.pose, [LIMITS.contact_speed * 2.1, 0.0, 0.0]))
    rig.run(0.5)
    assert rig.state is State.HOLD and "near contact" in rig.rejections[-1]


def test_row_11_late_duplicate_and_out_of_order_chunks_are_dropped_in_motion() -> None:
    rig = moving()
    now = rig.make_chunk()
    rig.send(now)
    cases = {
        "duplicate": now,
        "older than": rig.make_chunk(sequence=3),
        "not observed after": rig.make_chunk(stamp_ns=now.stamp_ns - 1),
        "ahead": rig.make_chunk(stamp_ns=rig.now_ns + NS),
        "s old": rig.make_chunk(stamp_ns=rig.now_ns - NS),
    }
    for words, chunk in cases.items():
        with pytest.raises(ChunkDropped, match=words):
            rig.send(chunk)
        assert rig.state is State.MOVING
    assert rig.gate.status(rig.now_s, rig.now_ns).chunks_rejected == len(cases)
    assert rig.tick().state is State.MOVING


def test_row_12_a_second_publisher_holds_and_is_named() -> None:
    rig = moving()
    with pytest.raises(ChunkRejected, match="second publisher.*session-a.*intruder"):
        rig.send(rig.make_chunk(session="intruder"))
    rig.run(0.9)
    assert rig.state is State.HOLD and "intruder" in rig.decisions[-1].reason
    assert not any(d.twist.any() for d in rig.decisions[-80:])
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.6)  # the intruder is gone: the followed session goes on


def test_row_12_a_new_session_takes_over_once_the_old_one_is_silent() -> None:
    rig = moving()
    rig.kill_expert()
    rig.run(1.2)
    rig.session, rig.sequence, rig.expert_alive = "session-b", 0, True
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)
    assert rig.gate.status(rig.now_s, rig.now_ns).session == "session-b"


def test_row_16_a_fault_of_the_robot_latches() -> None:
    rig = moving()
    decision = rig.gate.fault("the robot's TCP connection broke")
    assert decision.state is State.FAULT and not decision.twist.any()
    rig.assert_stationary()
    assert "TCP" in rig.decisions[-1].reason


def test_row_16_a_robot_that_does_not_follow_is_a_fault() -> None:
    rig = moving()
    rig.gate.robot(rig.q, None, Pose(rig.pose.position + [0.0, 0.02, 0.0], rig.pose.rotation), rig.now_s)
    assert rig.gate.step(rig.now_s + 0.01, rig.now_ns + NS // 100).state is State.FAULT


def test_row_16_a_robot_that_runs_away_is_a_fault() -> None:
    rig = moving()
    rig.gate.robot(rig.q, [0.0, 0.0, 0.0, 0.0, 3.0, 0.0], rig.pose, rig.now_s)
    assert rig.state is State.FAULT


def test_row_18_a_chunk_that_leaves_the_workspace_decelerates_and_holds() -> None:
    rig = moving()
    rig.kill_expert()
    box = Limits(**{**LIMITS.model_dump(), "workspace_max": (0.32, float(rig.pose.position[1] + 0.002), 0.35)})
    rig.gate.tighten(box)
    with pytest.raises(ChunkRejected, match="outside the workspace: y"):
        rig.send(rig.make_chunk())
    first = rig.tick()
    assert 0.0 < np.linalg.norm(first.twist[:3]) < 0.0141  # slowing down, not cut off
    rig.run_until(State.HOLD, 0.1)
    assert "workspace" in rig.decisions[-1].reason


def test_row_18_the_edge_of_the_workspace_is_approached_slowly_and_never_crossed() -> None:
    rig = Rig()
    edge = float(rig.pose.position[1] + 0.008)
    rig.gate.tighten(Limits(**{**LIMITS.model_dump(), "workspace_max": (0.32, edge, 0.35)}))
    start = rig.pose
    rig.follow(lambda t: Pose(start.position + [0.0, min(0.015 * t, 0.008), 0.0], start.rotation))
    rig.run(2.0)
    assert 0.0070 < rig.pose.position[1] - start.position[1] <= 0.0081


def test_row_18_near_a_singularity_the_joints_set_the_speed() -> None:
    # Wrist nearly straight: turning about the needle's side needs the fourth and sixth joint at full speed.
    q = np.array([0.0, 0.3, -0.2, 0.0, np.radians(0.68), 0.0])
    rig = Rig(q=q)
    pose = rig.pose
    assert all(lo < p < hi for lo, p, hi in zip((0.05, -0.15, 0.02), pose.position, (0.5, 0.15, 0.5), strict=True))
    wide = {**LIMITS.model_dump(), "workspace_min": (-0.5, -0.5, 0.0), "workspace_max": (0.6, 0.5, 0.6)}
    rig = Rig(q=q, limits=Limits(**wide))
    rig.follow(line(pose, [0.0, 0.0, 0.0], tuple((pose.rotation @ [0.1, 0.0, 0.0]).tolist())))
    rig.run(0.5)
    joint_speeds = np.abs(np.diff(rig.joints, axis=0)) / 0.01
    assert any("singular" in d.reason and d.twist.any() for d in rig.decisions)
    assert 0.5 * LIMITS.joint_speed < joint_speeds.max() <= 1.05 * LIMITS.joint_speed


def test_row_18_towards_the_stretched_elbow_the_joints_never_race() -> None:
    q = inverse(ARM, Pose(np.array([0.19, 0.0, 0.20]), DOWN), START_Q)
    rig = Rig(q=q)
    rig.follow(line(rig.pose, [0.015, 0.0, 0.0]))
    rig.run(4.0)
    joint_speeds = np.abs(np.diff(rig.joints, axis=0)) / 0.01
    assert joint_speeds.max() <= 1.05 * LIMITS.joint_speed
    assert any("singular" in d.reason for d in rig.decisions)
    assert rig.state in (State.HOLD, State.SLOWED)
    assert np.linalg.norm(rig.decisions[-1].twist[:3]) < 0.001


def test_row_18_exactly_singular_holds_and_says_so() -> None:
    q = np.array([0.0, 0.3, -0.2, 0.0, 0.0, 0.0])
    wide = {**LIMITS.model_dump(), "workspace_min": (-0.5, -0.5, 0.0), "workspace_max": (0.6, 0.5, 0.6)}
    rig = Rig(q=q, limits=Limits(**wide))
    axis = forward(ARM, q).rotation[:, 0]
    rig.follow(line(rig.pose, [0.0, 0.0, 0.0], tuple((0.1 * axis).tolist())))
    rig.run(0.5)
    blocked = [d for d in rig.decisions if "singular" in d.reason]
    assert blocked and not any(d.twist.any() for d in rig.decisions)


def test_row_18_the_end_of_a_joint_is_not_run_into() -> None:
    seed = np.array([0.0, 0.3, -0.2, 0.0, 1.2, 0.0])
    q = seed.copy()
    q[0] = ARM.upper_rad[0] - 0.01
    wide = {**LIMITS.model_dump(), "workspace_min": (-0.5, -0.5, 0.0), "workspace_max": (0.6, 0.5, 0.6)}
    rig = Rig(q=q, limits=Limits(**wide))
    sideways = np.cross([0.0, 0.0, 1.0], rig.pose.position)
    sideways /= np.linalg.norm(sideways)
    rig.follow(line(rig.pose, (0.015 * sideways).tolist()))
    rig.run(3.0)
    assert rig.q[0] < ARM.upper_rad[0]
    assert any("joint 1 is" in d.reason for d in rig.decisions)


def test_row_23_the_heartbeat_stops_and_returns() -> None:
    rig = moving()
    rig.beating = False
    assert rig.run_until(State.HOLD, 0.5) <= LIMITS.heartbeat_age + 0.02
    assert "heartbeat" in rig.decisions[-1].reason
    rig.assert_stationary(1.0)
    rig.beating = True
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)


def test_row_23_robot_state_stops() -> None:
    rig = moving()
    rig.robot_alive = False
    assert rig.run_until(State.HOLD, 0.2) <= LIMITS.robot_age + 0.02


@pytest.mark.parametrize("sleep_s", [0.031, 0.3, 5.0])
def test_row_26_two_missed_ticks_hold_and_no_burst_follows(sleep_s: float) -> None:
    rig = moving()
    rig.now_s += sleep_s - 0.01
    rig.feed_force()
    decision = rig.tick()
    assert decision.state is State.HOLD and not decision.twist.any()
    assert "control cycle" in decision.reason or "old" in decision.reason
    for _ in range(5):  # late ticks at once
        decision = rig.gate.step(rig.now_s, rig.now_ns)
        assert not decision.twist.any()
    assert rig.gate.status(rig.now_s, rig.now_ns).missed_deadlines >= 1
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)
    speeds = [float(np.linalg.norm(d.twist[:3])) for d in rig.decisions[-3:]]
    assert max(np.diff(speeds)) <= LIMITS.linear_acceleration * 0.01 * 1.001


def test_row_26_one_late_tick_is_no_reason_to_stop() -> None:
    rig = moving()
    rig.now_s += 0.008
    assert rig.tick().state is State.MOVING


def test_row_26_sleeping_itself_the_gate_does_not_blame_the_sensor() -> None:
    rig = moving()
    rig.now_s += 0.012
    decision = rig.gate.step(rig.now_s, rig.now_ns)  # before the samples that wait are read
    rig.now_s += 0.010
    decision = rig.gate.step(rig.now_s, rig.now_ns)
    assert decision.state is State.FAULT  # nothing came within a cycle of its own: silent indeed
    rig = moving()
    rig.now_s += 0.022
    decision = rig.gate.step(rig.now_s, rig.now_ns)
    assert decision.state is State.HOLD and not decision.twist.any()
    rig.feed_force()
    assert rig.tick().state is State.HOLD
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)


def test_row_26_samples_that_waited_for_the_gate_are_no_gap() -> None:
    rig = moving()
    rig.now_s += 0.022
    assert rig.gate.force(0.0, rig.now_s) is None  # handed over before the late cycle, with the time of now
    rig.last_force_s = rig._next_force_s = rig.now_s
    assert rig.tick().state is State.HOLD
    rig.follow(line(rig.pose, FORWARD))
    rig.run_until(State.MOVING, 0.5)


def test_row_28_chunks_of_an_old_goal_never_move_a_new_one() -> None:
    rig = moving()
    old = rig.make_chunk()
    rig.kill_expert()
    rig.goal = "goal-2"
    rig.run_until(State.HOLD, 0.2)
    with pytest.raises(ChunkDropped, match="goal-2"):
        rig.send(old)
    rig.assert_stationary(0.5)


def test_row_28_requests_in_any_state_follow_the_table() -> None:
    rig = Rig()
    with pytest.raises(Refused, match="OFF"):
        rig.gate.retract(0.01, rig.now_s)
    with pytest.raises(Refused, match="nothing to re-arm"):
        rig.gate.rearm(rig.now_s)
    assert rig.gate.retract_stop().state is State.OFF
    rig.move(FORWARD)
    with pytest.raises(Refused, match="nothing to re-arm"):
        rig.gate.rearm(rig.now_s)
    rig.gate.fault("stopped by the operator")
    rig.gate.fault("again")
    assert rig.tick().reason == "stopped by the operator"
    rig.gate.rearm(rig.now_s)
    with pytest.raises(Refused):
        rig.gate.rearm(rig.now_s)


def test_row_29_limits_are_only_tightened() -> None:
    rig = Rig()
    for name, value in [("force_hard", 3.0), ("free_speed", 0.021), ("workspace_min", (0.07, -0.15, 0.02))]:
        with pytest.raises(ValueError, match=name):
            rig.gate.tighten(Limits(**{**LIMITS.model_dump(), name: value}))
    rig.gate.tighten(Limits(**{**LIMITS.model_dump(), "free_speed": 0.01, "force_hard": 1.0}))
    rig.move([0.015, 0.0, 0.0])
    assert np.linalg.norm(rig.decisions[-1].twist[:3]) <= 0.01 * 1.0001
    decision = rig.gate.force(1.1, rig.now_s)
    assert decision is not None and decision.state is State.FAULT


def test_row_30_a_replayed_bag_is_refused_by_age_and_does_not_disturb() -> None:
    rig = moving()
    for k in range(20):
        with pytest.raises(ChunkDropped, match="old"):
            rig.send(rig.make_chunk(session="bag", sequence=k, stamp_ns=rig.now_ns - 3600 * NS))
        assert rig.tick().state is State.MOVING
