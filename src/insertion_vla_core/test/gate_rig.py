"""A gate in front of an ideal arm: the commanded twist is integrated on the arm's kinematics after a delay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
from insertion_vla_core.chunk import DT_S, HORIZON, Chunk
from insertion_vla_core.decision import Decision, State
from insertion_vla_core.executor import Execution
from insertion_vla_core.gate import PERIOD_S, Gate
from insertion_vla_core.geometry import Pose, exp_so3, pose_delta
from insertion_vla_core.kinematics import forward, inverse, load_arm, twist_to_joint_rates
from insertion_vla_core.limits import Limits, load_limits

NS = 1_000_000_000
EPOCH_NS = 1_790_000_000 * NS
LIMITS_FILE = Path(__file__).resolve().parents[3] / "config" / "limits.yaml"
LIMITS = load_limits(LIMITS_FILE)
ARM = load_arm("meca500")
TOOL = Pose(np.array([0.0, 0.0, 0.1]), np.eye(3))
DOWN = np.diag([-1.0, 1.0, -1.0])
START_Q = inverse(ARM, Pose(np.array([0.15, 0.0, 0.19]), DOWN), np.radians([0.0, 30.0, -20.0, 0.0, 80.0, 0.0]))
FORCE_HZ = 650

Reference = Callable[[float], Pose]


def line(start: Pose, velocity: list[float], turn_rate: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Reference:
    """Poses over time [s] along a straight line, turning about a fixed axis."""
    v, w = np.array(velocity), np.array(turn_rate)
    return lambda t: Pose(start.position + v * t, exp_so3(w * t) @ start.rotation)


class Rig:
    """One arm, one gate, one expert that follows a reference, and the sensors around them.

    Attributes that tests set: `force_n` (None = silent), `permit`, `goal`, `beating`, `robot_alive`, `expert_alive`,
    `aux`, `latency_s`, `reference` (None: hold where the tool is).
    """

    def __init__(
        self,
        latency_s: float = 0.1,
        delay_s: float = 0.02,
        limits: Limits = LIMITS,
        q: object = None,
        execution: Execution = "blend",
    ) -> None:
        self.gate = Gate(limits, ARM, TOOL, execution)
        self.q = np.array(START_Q if q is None else q, dtype=float)
        self.now_s, self.cycle = 100.0, 0
        self.force_n: float | None = 0.0
        self.permit, self.goal, self.beating, self.robot_alive, self.expert_alive = True, "goal-1", True, True, True
        self.aux, self.latency_s = 0.0, latency_s
        self.session, self.sequence = "session-a", 0
        self.reference: Reference | None = None
        self.progress_s = 0.0
        self.decisions: list[Decision] = []
        self.rejections: list[str] = []
        self.joints: list[np.ndarray] = []
        self.last_force_s = -np.inf
        self.noise_n = 0.003
        self._noise = np.random.default_rng(0)
        self._commands = deque([np.zeros(6)] * round(delay_s / PERIOD_S))
        self._underway: list[tuple[float, Chunk]] = []
        self._next_force_s = self.now_s

    @property
    def pose(self) -> Pose:
        return forward(ARM, self.q) @ TOOL

    @property
    def now_ns(self) -> int:
        return EPOCH_NS + round(self.now_s * NS)

    @property
    def state(self) -> State:
        return self.gate.state

    def follow(self, reference: Reference) -> None:
        self.reference, self.progress_s = reference, 0.0

    def move(self, velocity: list[float], seconds: float = 0.5, aux: float = 0.0) -> Decision:
        """Bring the arm into steady motion along a line."""
        self.aux = aux
        self.follow(line(self.pose, velocity))
        self.run(seconds)
        assert self.state in (State.MOVING, State.SLOWED), self.decisions[-1].reason
        return self.decisions[-1]

    def push(self, offset_m: list[float]) -> None:
        """Displace the tool by hand."""
        self.q = self.q + twist_to_joint_rates(ARM, self.q, [*offset_m, 0.0, 0.0, 0.0], TOOL)

    def kill_expert(self) -> None:
        self.expert_alive = False
        self._underway.clear()

    def make_chunk(self, **changes: object) -> Chunk:
        """What the expert would say now: on along the reference from the point nearest to the measured pose."""
        anchor = self.pose
        deltas = np.zeros((HORIZON, 6))
        if self.reference is not None:
            self.progress_s = self._nearest_s(self.reference, anchor)
            poses = [self.reference(self.progress_s + DT_S * (k + 1)) for k in range(HORIZON)]
            deltas = np.array([pose_delta(anchor, pose) for pose in poses])
        self.sequence += 1
        values = dict(session=self.session, sequence=self.sequence, goal=self.goal, stamp_ns=self.now_ns, anchor=anchor,
                      dt_s=DT_S, deltas=deltas, aux=np.full(HORIZON, self.aux))  # fmt: skip
        return Chunk(**{**values, **changes})

    def _nearest_s(self, reference: Reference, pose: Pose) -> float:
        def distance(t: float) -> float:
            delta = pose_delta(reference(t), pose)
            return float(np.hypot(np.linalg.norm(delta[:3]), 0.05 * np.linalg.norm(delta[3:])))

        coarse = min(np.arange(max(0.0, self.progress_s - 0.1), self.progress_s + 0.4, 0.01), key=distance)
        return float(min(np.arange(max(0.0, coarse - 0.01), coarse + 0.01, 0.0005), key=distance))

    def send(self, chunk: Chunk) -> None:
        self.gate.chunk(chunk, self.now_ns, self.now_s)

    def feed_force(self) -> Decision | None:
        """All samples due by now; the first decision they trigger."""
        while self._next_force_s <= self.now_s:
            if self.force_n is not None:
                noise = self.noise_n * float(self._noise.normal())
                self.last_force_s = self._next_force_s
                decision = self.gate.force(self.force_n + noise, self._next_force_s)
                if decision is not None:
                    return decision
            self._next_force_s += 1.0 / FORCE_HZ
        return None

    def tick(self) -> Decision:
        """One control period: sensors, expert, gate, arm."""
        self.now_s += PERIOD_S
        self.cycle += 1
        self.feed_force()
        if self.beating and self.cycle % 5 == 0:
            self.gate.heartbeat(self.permit, self.goal, self.now_s)
        if self.robot_alive:
            self.gate.robot(self.q, None, self.pose, self.now_s)
        if self.expert_alive and self.cycle % 10 == 0:
            self._underway.append((self.now_s + self.latency_s, self.make_chunk()))
        while self._underway and self._underway[0][0] <= self.now_s + 1e-9:
            try:
                self.send(self._underway.pop(0)[1])
            except ValueError as error:
                self.rejections.append(str(error))
        decision = self.gate.step(self.now_s, self.now_ns)
        self.decisions.append(decision)
        self._commands.append(decision.twist)
        twist = self._commands.popleft()
        if twist.any():
            self.q = self.q + twist_to_joint_rates(ARM, self.q, twist, TOOL) * PERIOD_S
        self.joints.append(self.q)
        return decision

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            self.tick()

    def run_until(self, state: State, seconds: float) -> float:
        """Time until the gate is in `state`; fails after `seconds`."""
        start = self.now_s
        while self.now_s < start + seconds:
            if self.tick().state is state:
                return self.now_s - start
        raise AssertionError(f"still {self.state.name} after {seconds} s: {self.decisions[-1].reason}")

    def assert_stationary(self, seconds: float = 2.0) -> None:
        """Zero is commanded and the arm is where it is, also two seconds later."""
        self.run(0.05)
        before, count = self.q.copy(), len(self.decisions)
        self.run(seconds)
        assert not any(decision.twist.any() for decision in self.decisions[count:])
        assert np.array_equal(self.q, before)
