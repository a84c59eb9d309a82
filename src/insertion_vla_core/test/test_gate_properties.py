"""What must hold whatever comes: random sequences of inputs, requests and faults against the gate's promises."""

import math
from typing import get_args

import numpy as np
from gate_rig import ARM, LIMITS, START_Q, TOOL, Rig, line
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from insertion_vla_core.chunk import ChunkRejected
from insertion_vla_core.decision import Decision, Refused, State
from insertion_vla_core.executor import Execution
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import forward, twist_to_joint_rates
from insertion_vla_core.limiter import Limiter

STILL = (State.OFF, State.HOLD, State.FAULT)
SLACK = 1.0 + 1e-9
velocities = st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=3)


class GateMachine(RuleBasedStateMachine):
    """Drives a rig; keeps its own, independent record of what the gate was told."""

    @initialize(latency_s=st.sampled_from([0.05, 0.1, 0.2]), execution=st.sampled_from(get_args(Execution)))
    def start(self, latency_s: float, execution: Execution) -> None:
        self.rig = Rig(latency_s=latency_s, execution=execution)
        self.rig.follow(line(self.rig.pose, [0.004, 0.002, -0.003]))
        self.last = self.rig.tick()
        self.may_leave_fault = False
        self.latched = False
        self.previous_state = self.last.state

    def watch(self, decision: Decision) -> None:
        """Every decision is checked, also those between the invariants."""
        twist, before = decision.twist, self.last.twist
        assert twist.shape == (6,) and np.isfinite(twist).all()
        assert 0.0 <= decision.speed_scale <= 1.0
        assert decision.state not in STILL or not twist.any(), decision
        assert np.linalg.norm(twist[:3]) <= LIMITS.free_speed * SLACK
        assert np.linalg.norm(twist[3:]) <= LIMITS.free_angular_speed * SLACK
        if twist.any():
            change = twist - before
            assert np.linalg.norm(change[:3]) <= LIMITS.linear_acceleration * 0.01 * SLACK
            assert np.linalg.norm(change[3:]) <= LIMITS.angular_acceleration * 0.01 * SLACK
        else:
            assert decision.reason or decision.state in (State.MOVING, State.SLOWED)
        if self.latched:
            assert decision.state in (State.FAULT, State.RETRACTING), decision
        self.latched = self.latched or decision.state is State.FAULT
        self.last = decision

    @rule(ticks=st.integers(1, 40))
    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            permitted = self.rig.permit and self.rig.goal
            decision = self.rig.tick()
            self.watch(decision)
            if decision.twist.any() and decision.state is not State.RETRACTING:
                assert permitted or self.rig.cycle % 5 != 0, "moves without permission"
                assert self.rig.now_s - self.rig.last_force_s <= LIMITS.force_gap + 0.002

    @rule(velocity=velocities, aux=st.sampled_from([0.0, 1.0, 2.0]))
    def new_reference(self, velocity: list[float], aux: float) -> None:
        self.rig.aux = aux
        self.rig.follow(line(self.rig.pose, velocity))

    @rule(value=st.one_of(st.floats(-0.4, 0.4), st.none(), st.sampled_from([math.nan, 0.6, 1.9])))
    def force_level(self, value: float | None) -> None:
        self.rig.force_n = value

    @rule(value=st.one_of(st.floats(-10.0, 10.0), st.sampled_from([math.nan, math.inf, -math.inf])))
    def one_force_sample(self, value: float) -> None:
        state = self.rig.state
        decision = self.rig.gate.force(value, self.rig.now_s)
        if decision is not None:
            self.watch(decision)
            assert not decision.twist.any()
        if abs(value) > LIMITS.force_hard and state not in (State.OFF, State.RETRACTING):
            assert self.rig.state is State.FAULT
            self.latched = True

    @rule(permit=st.booleans(), goal=st.sampled_from(["goal-1", "goal-2", ""]))
    def task(self, permit: bool, goal: str) -> None:
        self.rig.permit, self.rig.goal = permit, goal

    @rule(which=st.sampled_from(["beating", "robot_alive", "expert_alive"]), value=st.booleans())
    def liveness(self, which: str, value: bool) -> None:
        setattr(self.rig, which, value)

    @rule()
    def all_well(self) -> None:
        rig = self.rig
        rig.beating = rig.robot_alive = rig.expert_alive = rig.permit = True
        rig.force_n, rig.aux = 0.0, 0.0
        rig.goal = f"goal-{rig.cycle}"
        rig.follow(line(rig.pose, [0.004, 0.002, -0.003]))

    @rule(seconds=st.floats(0.0, 1.0))
    def sleep(self, seconds: float) -> None:
        self.rig.now_s += seconds

    @rule(
        session=st.sampled_from(["session-a", "intruder"]),
        sequence=st.integers(-1, 400),
        age_s=st.floats(-1.0, 1.0),
        spread=st.sampled_from([0.0, 1e-4, 1e-3, 0.1, math.nan]),
        goal=st.sampled_from(["goal-1", "goal-2"]),
    )
    def any_chunk(self, session: str, sequence: int, age_s: float, spread: float, goal: str) -> None:
        deltas = np.random.default_rng(sequence + 1).normal(0.0, 1.0, (8, 6)) * spread
        stamp_ns = self.rig.now_ns - round(age_s * 1e9)
        chunk = self.rig.make_chunk(session=session, sequence=sequence, stamp_ns=stamp_ns, deltas=deltas, goal=goal)
        try:
            self.rig.send(chunk)
        except ChunkRejected as error:
            assert len(str(error)) > 20
            assert self.rig.gate.status(self.rig.now_s, self.rig.now_ns).last_rejection == str(error)
        else:
            assert math.isfinite(spread)

    @rule(value=st.sampled_from([math.nan, math.inf, 0.0]))
    def bad_robot_state(self, value: float) -> None:
        self.rig.gate.robot(np.full(6, math.nan), None, self.rig.pose, self.rig.now_s)
        self.rig.gate.robot(np.zeros(5), None, self.rig.pose, self.rig.now_s)
        self.rig.gate.robot(self.rig.q, None, Pose(np.full(3, math.inf), np.eye(3)), self.rig.now_s)

    @rule()
    def stop(self) -> None:
        self.watch(self.rig.gate.fault("stopped by the operator"))

    @rule()
    def rearm(self) -> None:
        try:
            self.rig.gate.rearm(self.rig.now_s)
        except Refused:
            return
        self.latched = False
        assert self.rig.state is State.HOLD

    @rule(distance_m=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.2, math.nan]))
    def retract(self, distance_m: float) -> None:
        try:
            self.rig.gate.retract(distance_m, self.rig.now_s)
        except Refused:
            return
        assert self.rig.state is State.RETRACTING and 0.001 <= distance_m <= 0.1

    @rule()
    def retract_stop(self) -> None:
        decision = self.rig.gate.retract_stop()
        assert decision.state is not State.RETRACTING

    @precondition(lambda self: self.rig.cycle % 7 == 0)
    @rule()
    def off(self) -> None:
        self.watch(self.rig.gate.off("node deactivated"))
        assert self.rig.state in (State.OFF, State.FAULT)

    @invariant()
    def a_fault_is_left_by_rearming_only(self) -> None:
        if hasattr(self, "rig") and self.latched:
            assert self.rig.state in (State.FAULT, State.RETRACTING)


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

twists = st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=6).map(lambda v: [x if abs(x) > 1e-6 else 0.0 for x in v])
offsets = st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6)


@given(wanted=twists, offset=offsets, part=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_scaling_keeps_the_direction_and_meets_every_limit(
    wanted: list[float], offset: list[float], part: float
) -> None:
    limiter = Limiter(LIMITS, ARM, TOOL)
    q = (START_Q + np.array(offset)).tolist()
    pose = forward(ARM, q) @ TOOL
    speeds = (LIMITS.free_speed, LIMITS.free_angular_speed, "free")
    rest = [0.0] * 6
    once = limiter.limit(wanted, rest, q, pose, speeds, 10.0)  # ten seconds: no limit of acceleration
    twist, aim = np.array(once.twist), np.array(wanted)
    assert np.allclose(twist, once.factor.scale * aim, atol=1e-15)
    assert np.linalg.norm(twist[:3]) <= LIMITS.free_speed * SLACK
    assert np.linalg.norm(twist[3:]) <= LIMITS.free_angular_speed * SLACK
    rates = twist_to_joint_rates(ARM, q, twist, TOOL)
    assert np.abs(rates).max() <= LIMITS.joint_speed * (1 + 1e-6)
    # Speeding up from rest or from the same motion, slower, keeps the direction as well.
    slower = (part * twist).tolist()
    soon = np.array(limiter.limit(wanted, slower, q, pose, speeds, 0.01).twist)
    assert np.linalg.norm(soon - twist * (soon @ twist) / max(twist @ twist, 1e-30)) <= 1e-12
    assert 0.0 <= once.rate <= 1.0 + 1e-12
