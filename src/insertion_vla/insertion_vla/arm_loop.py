"""The control loop of the arm: the gate behind one lock, a 100 Hz thread on absolute deadlines, and a watchdog.

Whoever learns something first tells the gate at once, in the thread in which it was learnt: robot states in the back
end's thread, force in the executor's. A stop goes to the robot in that very call. All commands are sent with the lock
held, so no older command can overtake a stop.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.decision import Decision, GateStatus, State
from insertion_vla_core.gate import Gate
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import Arm, forward

from insertion_vla.arms.backend import Backend, RobotState
from insertion_vla.deadlines import ticks

PERIOD_S = 0.01
JUST_AFTER_S, GIVE_WAY_S = 0.0005, 0.002
OVERDUE_S = 0.03  # without a cycle for this long the watchdog stops the robot in the loop's place
MOVING = (State.MOVING, State.SLOWED, State.RETRACTING)


@dataclass(frozen=True)
class Cycle:
    """What one control cycle decided, for whoever publishes it."""

    decision: Decision
    status: GateStatus
    changed: bool  # the state is another one than in the cycle before


def steady_stamp(chunk: Chunk) -> Chunk:
    """A chunk with its wall-clock stamp moved to the steady clock, so that no step of the wall clock moves the arm."""
    age_ns = time.time_ns() - chunk.stamp_ns
    return replace(chunk, stamp_ns=time.monotonic_ns() - age_ns) if chunk.stamp_ns > 0 else chunk


class ArmLoop:
    """Runs the gate over a back end.

    ``on_cycle`` is called after every cycle in the control thread, ``on_crash`` when a cycle raises; it must call
    ``fault``.
    """

    def __init__(
        self,
        gate: Gate,
        arm: Arm,
        tool: Pose,
        on_cycle: Callable[[Cycle], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self.gate, self.arm, self.tool = gate, arm, tool
        self.backend: Backend | None = None
        self.late_s = 0.0  # the worst delay of a cycle since last asked
        self.watchdog_stops = 0
        self._on_cycle, self._on_crash = on_cycle, on_crash
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._q = np.zeros(len(arm.joint_names))
        self._twist = np.zeros(6)
        self._cycle_s = self._force_s = 0.0
        self._state = State.OFF

    def start(self) -> None:
        """Begin to control; the back end is ready."""
        self._stop.clear()
        self._cycle_s = time.monotonic()
        self._state = State.OFF
        self._threads = [
            threading.Thread(target=self._run, name="control", daemon=True),
            threading.Thread(target=self._watch, name="watchdog", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, reason: str) -> None:
        """Stand still and end the threads; may be called twice."""
        self.halt()
        with self._lock:
            self._send(self.gate.off(reason))
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    @property
    def running(self) -> bool:
        """The control thread is up."""
        return bool(self._threads)

    # What comes in; each in the thread of whoever brings it.

    def robot(self, state: RobotState) -> Pose:
        """Take a robot state; returns the measured tool pose."""
        pose = forward(self.arm, state.q) @ self.tool
        now_s = time.monotonic()
        with self._lock:
            self._q = state.q
            if self.running:
                self.gate.robot(state.q, state.dq, pose, now_s)
                if self.gate.state is State.FAULT and self._twist.any():
                    self._zero()
        return pose

    def force(self, force_n: float, arrived_s: float) -> None:
        """Take a force sample [N] that arrived at a steady time; a stop is sent before this returns."""
        with self._lock:
            if not math.isnan(force_n):
                self._force_s = arrived_s
            decision = self.gate.force(force_n, arrived_s)
            if decision is not None:
                self._send(decision)

    def heartbeat(self, permit: bool, goal: str, arrived_s: float) -> None:
        """Take a permission to move."""
        with self._lock:
            self.gate.heartbeat(permit, goal, arrived_s)

    def chunk(self, chunk: Chunk) -> None:
        """Take a chunk with a wall-clock stamp; raises ChunkRejected."""
        chunk = steady_stamp(chunk)
        with self._lock:
            self.gate.chunk(chunk, time.monotonic_ns(), time.monotonic())

    def fault(self, reason: str) -> None:
        """Stop and latch."""
        self.halt()
        with self._lock:
            self._send(self.gate.fault(reason))

    def halt(self) -> None:
        """Zero velocity without waiting for anyone."""
        if self.backend is not None:
            self.backend.halt()

    def with_gate(self, action: Callable[[Gate, float], object]) -> object:
        """Run something on the gate with the lock held; gets the gate and the steady time."""
        with self._lock:
            return action(self.gate, time.monotonic())

    # Threads.

    def _run(self) -> None:
        for deadline in ticks(PERIOD_S, self._stop):
            self.late_s = max(self.late_s, time.monotonic() - deadline.current_s())
            try:
                self._let_force_in()
                self._cycle()
            except Exception as error:
                self._on_crash(error)

    def _cycle(self) -> None:
        now_ns = time.monotonic_ns()
        now_s = now_ns * 1e-9
        with self._lock:
            decision = self.gate.step(now_s, now_ns)
            self._send(decision)
            status = self.gate.status(now_s, now_ns)
        self._cycle_s = now_s
        changed, self._state = decision.state is not self._state, decision.state
        self._on_cycle(Cycle(decision, status, changed))

    def _watch(self) -> None:
        """Between two cycles: judge silence of the force on time, and stop in the place of a loop that hangs."""
        wait_s = PERIOD_S
        while not self._stop.wait(wait_s):
            now_s = time.monotonic()
            silent_s = self._force_s + self.gate.limits.force_gap + JUST_AFTER_S
            if not self._twist.any():
                wait_s = PERIOD_S
            elif now_s - self._cycle_s > OVERDUE_S:
                self.watchdog_stops += 1
                self.halt()
            elif now_s < silent_s:
                wait_s = min(PERIOD_S, silent_s - now_s)
            else:
                wait_s = PERIOD_S
                self._let_force_in()
                try:
                    with self._lock:
                        self._send(self.gate.step(time.monotonic(), time.monotonic_ns()))
                except Exception as error:
                    self._on_crash(error)

    def _let_force_in(self) -> None:
        """Samples that have arrived, but wait for their thread to run, are not missing: give way to it once."""
        if self._twist.any() and time.monotonic() - self._force_s > self.gate.limits.force_gap:
            time.sleep(GIVE_WAY_S)

    def _send(self, decision: Decision) -> None:
        self._twist = decision.twist
        if self.backend is not None:
            self.backend.send(decision.twist, self._q)

    def _zero(self) -> None:
        self._twist = np.zeros(6)
        self.halt()
