"""The gate: decides, next to the hardware, whether the arm moves, where to and how fast.

Motion is permitted by what is fresh and well (heartbeat, robot state, force, chunks), never stopped by a message. HOLD
resumes by itself when its reason is gone and a new chunk comes; FAULT is latched until a person re-arms, and even then
the goal that was running is not resumed. A stop is a zero twist at once, the robot decelerates itself; only an empty
queue and a path that leads nowhere end in a ramp within the acceleration limits.

The loop is closed on the measured tool pose: twist = feed-forward + gain * (setpoint - measured), scaled down as a
whole to the limits. The path then advances by the same factor (`path_clock`), so that a path faster than the limits is
followed slowly along the same line instead of being cut short, and the setpoint never runs away from the arm.

No threads, no clocks: the caller serialises the calls and says what time it is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from insertion_vla_core.chunk import Chunk, ChunkDropped, ChunkRejected
from insertion_vla_core.chunk_path import ChunkPath
from insertion_vla_core.chunk_source import CONTACT_AUX, ChunkSource, OutsideWorkspace, check_motion
from insertion_vla_core.decision import MOVING_STATES, Decision, GateStatus, Refused, RetractReport, State
from insertion_vla_core.executor import NS, ChunkExecutor, Execution
from insertion_vla_core.force_watch import ForceWatch
from insertion_vla_core.geometry import Pose, pose_delta
from insertion_vla_core.kinematics import Arm
from insertion_vla_core.limiter import Limiter
from insertion_vla_core.limits import Limits
from insertion_vla_core.permission import Permission
from insertion_vla_core.retract import Retract
from insertion_vla_core.robot_watch import RobotWatch
from insertion_vla_core.speed import slew

PERIOD_S = 0.01  # s, control period
LATE_S = 1.5 * PERIOD_S  # a cycle later than this after the last does not trust its own view of ages
MISSED_S = 2.5 * PERIOD_S  # two ticks were missed
GAIN_PER_S = 5.0  # well below 1 / (2 * delay) for the 20..50 ms between a command and its measured effect
SLOWED_BELOW = 0.98  # scale from which the state says so
ZERO = (0.0,) * 6


class Gate:
    """State machine of one arm; `arm` and `tool` (needle tip in the flange frame) are for the joint speeds.

    `execution` is how a new chunk takes over from the one before, see `ChunkExecutor`.

    Attributes:
        state: As in ArmState.msg.
        limits: In force now.
        retract_report: How the newest retract went, None while it runs or before the first.
    """

    def __init__(self, limits: Limits, arm: Arm, tool: Pose, execution: Execution = "blend") -> None:
        self.state, self.limits = State.OFF, limits
        self.retract_report: RetractReport | None = None
        self._executor = ChunkExecutor(max_age_s=limits.chunk_age, mode=execution)
        self._permission, self._source = Permission(), ChunkSource()
        self._watch, self._robot = ForceWatch(limits), RobotWatch(limits, len(arm.joint_names))
        self._limiter = Limiter(limits, arm, tool)
        self._reason, self._fault_reason, self._why_empty = "no robot state yet", "", ""
        self._twist, self._scale = list(ZERO), 0.0
        self._step_s, self._missed, self._doubt = -math.inf, 0, False
        self._retract: Retract | None = None

    def heartbeat(self, permit: bool, goal: str, now_s: float) -> None:
        """Permission to move, from the task; `goal` names the goal it is for."""
        if goal != self._permission.goal:
            self._executor.clear()
            self._watch.near_contact = False
        self._permission.heartbeat(permit, goal, now_s)

    def force(self, force_n: float, now_s: float) -> Decision | None:
        """One axial force sample [N]. A decision comes back if it must be sent at once, before the next cycle."""
        anytime, in_motion = self._watch.update(force_n, now_s)
        if self._retract is not None:
            why = self._retract.force(force_n)
            return self._end_retract(self._retract, why) if why else None
        moving = self.state in MOVING_STATES and now_s - self._step_s <= LATE_S  # asleep itself: `step` judges
        why = anytime or (in_motion if moving else "")
        return self.fault(why) if why and self.state not in (State.OFF, State.FAULT) else None

    def robot(self, q: ArrayLike, dq: ArrayLike | None, pose: Pose, now_s: float) -> None:
        """Measured joints (n,) [rad], joint speeds [rad/s] if known, and tool pose (base frame).

        Values that are not finite or not n count as missing. The first state takes the gate from OFF to HOLD.
        """
        if not self._robot.update(q, pose, now_s):
            return
        if self.state is State.OFF:
            self._stand(State.HOLD, "switched on")
        if self._retract is not None:
            self._retract.robot(pose)
        if dq is not None and self.state in MOVING_STATES and (why := self._robot.runaway(dq)):
            self.fault(why)

    def chunk(self, chunk: Chunk, now_ns: int, now_s: float) -> None:
        """Follow a chunk from now on.

        Args:
            chunk: What an expert commands.
            now_ns: Time on the base of the chunk's stamp.
            now_s: Steady time.

        Raises:
            ChunkDropped: skipped; what is being followed goes on.
            ChunkRejected: wrong or contradictory; the arm holds until a good chunk comes.
        """
        try:
            path = self._checked(chunk, now_ns, now_s)
        except ChunkRejected as error:
            self._source.refused(error)
            if not isinstance(error, ChunkDropped):
                self._executor.clear()
                self._why_empty = f"chunk rejected: {error}"
                if self.state in MOVING_STATES and not isinstance(error, OutsideWorkspace):
                    self._stand(State.HOLD, self._why_empty)
            raise
        self._executor.start(path, now_ns)
        self._source.followed(chunk, now_s)
        self._why_empty = ""

    def step(self, now_s: float, now_ns: int) -> Decision:
        """Decide what the robot does until the next cycle; call every 10 ms, and never twice to catch up.

        Args:
            now_s: Steady time.
            now_ns: The same moment on the base of the chunks' stamps.
        """
        since_s = max(0.0, now_s - self._step_s) if self._step_s > -math.inf else PERIOD_S
        self._step_s = now_s
        self._missed += since_s > 2.0 * PERIOD_S
        dt_s = min(since_s, PERIOD_S)
        if self._retract is not None:
            decision = self._step_retract(self._retract, now_s, dt_s, late=since_s > LATE_S)
        elif self.state in (State.OFF, State.FAULT):
            decision = self._decision()
        elif why := self._hold_cause(now_s, since_s):
            decision = self.fault(why) if self._doubt and since_s <= LATE_S else self._stand(State.HOLD, why)
        else:
            return self._follow(now_ns, dt_s)
        self._executor.set_rate(0.0, now_ns)
        return decision

    def _hold_cause(self, now_s: float, since_s: float) -> str:
        """Why not to move; `_doubt` is set where the force went bad in motion, which is a FAULT.

        Unless this cycle itself came late, and the samples may wait behind it: then the next one in time judges.
        """
        if why := self._watch.problem(now_s):
            self._doubt = self._doubt or self.state in MOVING_STATES
            return why
        self._doubt = False
        if since_s > MISSED_S:
            return f"the control cycle came {since_s * 1e3:.0f} ms after the last"
        return self._missing(now_s)

    def _follow(self, now_ns: int, dt_s: float) -> Decision:
        setpoint = self._executor.setpoint(now_ns)
        if setpoint is None:
            return self._ramp_down(now_ns, dt_s)
        error = pose_delta(self._robot.pose, setpoint.pose)
        if why := self._robot.deviation(error):
            return self.fault(why)
        self._watch.near_contact = setpoint.aux >= CONTACT_AUX
        wanted: list[float] = (setpoint.twist + GAIN_PER_S * error).tolist()
        speeds = self._watch.tip_speeds()
        limited = self._limiter.limit(wanted, self._twist, self._robot.q, self._robot.pose, speeds, dt_s)
        if limited.blocked:
            self._why_empty = limited.factor.reason
            self._executor.clear()
            return self._ramp_down(now_ns, dt_s)
        self._executor.set_rate(limited.rate, now_ns)
        self._twist, (self._scale, self._reason) = limited.twist, limited.factor
        self.state = State.SLOWED if self._scale < SLOWED_BELOW else State.MOVING
        return self._decision()

    def _ramp_down(self, now_ns: int, dt_s: float) -> Decision:
        """Nothing to follow: slow down within the acceleration limits, then hold."""
        self._executor.set_rate(0.0, now_ns)
        why, limits = self._why_empty or "no chunk to follow", self.limits
        self._twist = slew(self._twist, ZERO, limits.linear_acceleration * dt_s, limits.angular_acceleration * dt_s)
        if not any(self._twist):
            return self._stand(State.HOLD, why)
        self._reason = f"{why}: slowing down"
        return self._decision()

    def _step_retract(self, retract: Retract, now_s: float, dt_s: float, late: bool) -> Decision:
        if late:  # stand still for a cycle: what looks silent may only be waiting behind this one
            self._twist, self._reason = list(ZERO), "the control cycle came late"
            return self._decision()
        if silent := self._watch.problem(now_s, retracting=True):
            return self.fault(silent)
        if old := self._robot.problem(now_s):
            return self._end_retract(retract, old)
        result = retract.step(self._limiter, self._twist, self._robot.q, self._robot.pose, now_s, dt_s)
        if isinstance(result, str):
            return self._end_retract(retract, result)
        self._twist, self._scale = result.twist, result.factor.scale
        self._reason = f"retracting along the needle: {retract.travelled_m * 1e3:.1f} mm"
        return self._decision()

    def _missing(self, now_s: float) -> str:
        """What is missing or contradicts moving now, force aside; empty if nothing."""
        permission = self._permission.missing(now_s, self.limits.heartbeat_age)
        return self._robot.problem(now_s) or permission or self._source.conflict(now_s)

    def _checked(self, chunk: Chunk, now_ns: int, now_s: float) -> ChunkPath:
        path = self._source.check(chunk, self._executor, now_ns, now_s)
        if self.state in (State.OFF, State.FAULT, State.RETRACTING):
            raise ChunkDropped(f"no chunk is followed in {self.state.name}")
        if missing := self._missing(now_s) or self._watch.problem(now_s):
            raise ChunkDropped(f"no chunk is followed now: {missing}")
        if chunk.goal != self._permission.goal:
            raise ChunkDropped(f"expected a chunk for goal '{self._permission.goal}', got one for '{chunk.goal}'")
        check_motion(path, self._executor.entry(path, now_ns), self._robot.pose, self.limits)
        return path

    def fault(self, reason: str) -> Decision:
        """Stop now and latch; the decision must be sent at once. The first reason is kept until re-armed."""
        self._fault_reason = self._fault_reason or reason
        self._permission.bar_goal()
        retract = self._retract
        return self._end_retract(retract, reason) if retract else self._stand(State.FAULT, self._fault_reason)

    def rearm(self, now_s: float) -> None:
        """Leave FAULT for HOLD. The goal that was running stays stopped: re-arming never starts motion.

        Raises:
            Refused: not in FAULT, or the cause is still there.
        """
        if self.state is not State.FAULT:
            raise Refused(f"nothing to re-arm: the gate is in {self.state.name}")
        if cause := self._robot.problem(now_s) or self._watch.problem(now_s):
            raise Refused(f"not re-armed, the cause is still there: {cause}")
        self._fault_reason = ""
        self._permission.bar_goal()
        self._stand(State.HOLD, "re-armed")

    def retract(self, distance_m: float, now_s: float) -> None:
        """Start pulling back along the needle, in every state but OFF. Ends in HOLD, or in FAULT if it began there.

        Raises:
            Refused: naming what is wrong or missing.
        """
        if self.state in (State.OFF, State.RETRACTING):
            raise Refused(f"no retract can start in {self.state.name}")
        if problem := self._robot.problem(now_s) or self._watch.problem(now_s, retracting=True):
            raise Refused(f"no blind retract: {problem}")
        self._retract = Retract(self._robot.pose, distance_m, self._watch.force_n, self.limits, now_s)
        self._executor.clear()
        self._permission.bar_goal()
        self.retract_report = None
        self.state, self._reason = State.RETRACTING, "retracting along the needle"

    def retract_stop(self) -> Decision:
        """End a retract where it is; without one, nothing changes."""
        return self._decision() if self._retract is None else self._end_retract(self._retract, "retract stopped")

    def off(self, reason: str) -> Decision:
        """The robot is disconnected or the node goes inactive; the next robot state leads to HOLD. A FAULT stays."""
        if self._retract is not None:
            self._end_retract(self._retract, reason)
        return self._decision() if self.state is State.FAULT else self._stand(State.OFF, reason)

    def tighten(self, limits: Limits) -> None:
        """Take new limits; raises ValueError if any is looser."""
        self.limits = self.limits.tightened(limits)
        self._watch.limits = self._robot.limits = self._limiter.limits = limits
        self._executor.max_age_s = limits.chunk_age

    def status(self, now_s: float, now_ns: int) -> GateStatus:
        """Figures for ArmState.msg."""
        source = self._source
        return GateStatus(
            force_n=self._watch.force_n,
            force_age_s=self._watch.age_s(now_s),
            robot_age_s=self._robot.age_s(now_s),
            chunk_age_s=(now_ns - source.newest_ns) / NS if source.newest_ns else math.nan,
            session=self._executor.session,
            chunks_accepted=source.accepted,
            chunks_rejected=source.rejected,
            last_rejection=source.last_rejection,
            missed_deadlines=self._missed,
        )

    def _end_retract(self, retract: Retract, message: str) -> Decision:
        self._retract, self.retract_report = None, retract.report(message)
        if self._fault_reason:
            return self._stand(State.FAULT, f"{self._fault_reason}; {message}")
        return self._stand(State.HOLD, message)

    def _stand(self, state: State, reason: str) -> Decision:
        """Zero twist from now on, nothing left to follow."""
        self._executor.clear()
        self.state, self._reason, self._twist, self._scale = state, reason, list(ZERO), 0.0
        return self._decision()

    def _decision(self) -> Decision:
        return Decision(self.state, np.array(self._twist), self._scale, self._reason)
