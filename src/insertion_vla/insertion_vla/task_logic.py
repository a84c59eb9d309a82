"""The state table of the insertion task: which phase a goal is in, whether motion is permitted, how the goal ends.

Pure: no ROS, no threads, no clock. Every input carries `now_s` on the steady clock. Success is judged from the robot's
own sensors: the policy says it has finished, and the force or the A-line confirms a touch that lasts.
"""

import math
import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

ARM_RETRACTING = 4  # ArmState.RETRACTING
ARM_FAULT = 5  # ArmState.FAULT
MAX_INSTRUCTION = 256
# The evidence flickers with the sensor noise: a touch counts as lost after this long without any.
TOUCH_MEMORY_S = 0.2


class Phase(IntEnum):
    """Numbers of TaskState.msg."""

    IDLE = 0
    APPROACH = 1
    INSERT = 2
    DWELL = 3
    RETRACT = 4
    SUCCEEDED = 5
    FAILED = 6


class Refused(Exception):
    """A goal was refused; the message is a sentence for the person who asked."""


@dataclass(frozen=True)
class TaskSettings:
    """What counts as a confirmed insertion, and for how long to try.

    Attributes:
        targets: Words of which an instruction must name exactly one; empty accepts any instruction.
        timeout_s: Time limit of a goal that names none.
        max_timeout_s: Longest time limit that a goal may ask for.
        dwell_s: How long the touch must last.
        min_depth_m: Travel along the needle since insertion began that an insertion needs at least.
        contact_force_n: Axial force that confirms a touch.
        touch_distance_m: Distance from the tip to the nearest surface ahead that confirms a touch.
        confirm_timeout_s: How long the policy may claim to have finished without a confirmed touch.
    """

    targets: tuple[str, ...] = ()
    timeout_s: float = 90.0
    max_timeout_s: float = 600.0
    dwell_s: float = 0.5
    min_depth_m: float = 0.002
    contact_force_n: float = 0.03
    touch_distance_m: float = 0.0003
    confirm_timeout_s: float = 5.0


@dataclass(frozen=True)
class Goal:
    """A goal that was accepted."""

    goal_id: str
    instruction: str
    timeout_s: float
    accepted_s: float


@dataclass(frozen=True)
class Outcome:
    """How a goal ended."""

    success: bool
    reason: str
    duration_s: float
    depth_m: float


class TaskLogic:
    """One goal at a time: accept -> start (after the tare) -> approach, insert, dwell -> succeeded or failed."""

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings
        self.goal: Goal | None = None
        self.outcome: Outcome | None = None
        self.phase = Phase.IDLE
        self.status = "waiting for a goal"
        self.depth_m = math.nan
        self._started = False
        self.system_active = False
        self._system_coming = True
        self._system_reason = "no system/state received yet"
        self._arm_state: int | None = None
        self._arm_reason = ""
        self._pose: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._insertion: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._finished_s: float | None = None
        self._touch_s = -math.inf
        self._dwell_s: float | None = None
        self._force_n = math.nan
        self._distance_m = math.nan

    @property
    def permit(self) -> bool:
        """Whether motion is permitted right now."""
        return self.goal is not None and self._started and self.system_active

    @property
    def shown_phase(self) -> Phase:
        """The phase for people: an operator's retract shows between goals."""
        if self.goal is None and self._arm_state == ARM_RETRACTING:
            return Phase.RETRACT
        return self.phase

    def elapsed_s(self, now_s: float) -> float:
        """Seconds since the goal was accepted, or the duration of the last one, or 0."""
        if self.goal is not None:
            return now_s - self.goal.accepted_s
        return self.outcome.duration_s if self.outcome else 0.0

    # Goals

    def accept(self, goal_id: str, instruction: str, timeout_s: float, now_s: float) -> None:
        """Takes a goal; motion is permitted only after `start`. Raises Refused with a sentence."""
        if self.goal is not None:
            raise Refused(f"expected one goal at a time, but '{self.goal.instruction}' is running: cancel it first")
        instruction = " ".join(instruction.split())
        self._check_instruction(instruction)
        limit = self.settings.max_timeout_s
        if not (math.isfinite(timeout_s) and 0.0 <= timeout_s <= limit):
            raise Refused(
                f"expected a timeout of 0 (default) to {limit:g} s, got {timeout_s:g}: send one in this range"
            )
        # While the system is coming up this goal may be earlier here than the last word of the lifecycle manager.
        if not (self.system_active or self._system_coming):
            raise Refused(f"expected the system to be ACTIVE, but {self._system_reason}: call system/start")
        if self._arm_state == ARM_FAULT:
            raise Refused(
                f"expected an arm without fault, but it is in FAULT ({self._arm_reason}): call arm/rearm first"
            )
        if self._arm_state == ARM_RETRACTING:
            raise Refused("expected an arm at rest, but it is retracting: wait until it has stopped")
        self.goal = Goal(goal_id, instruction, float(timeout_s) or self.settings.timeout_s, now_s)
        self.outcome = None
        self.phase = Phase.APPROACH
        self.status = "taring the force sensor"
        self.depth_m = math.nan
        self._started = False
        self._insertion = None
        self._finished_s = None
        self._dwell_s = None
        self._touch_s = -math.inf

    def start(self, goal_id: str, now_s: float) -> None:
        """Permits motion for the goal; an answer that belongs to an older goal changes nothing."""
        if self.goal is None or self.goal.goal_id != goal_id:
            return
        if self._arm_state is None:
            self._end(False, "no arm/state was received: check the arm node", now_s)
            return
        self._started = True
        self.status = "approaching" if self.system_active else f"waiting for the system: {self._system_reason}"

    def fail(self, goal_id: str, reason: str, now_s: float) -> bool:
        """Ends the named goal as failed; False when that goal is not the one that runs."""
        if self.goal is None or self.goal.goal_id != goal_id:
            return False
        self._end(False, reason, now_s)
        return True

    # What the robot reports

    def system(self, active: bool, coming: bool, reason: str, now_s: float) -> None:
        """Takes the state of the managed nodes: all active, or still coming up."""
        was_permitted = self.permit
        self.system_active, self._system_coming = active, coming
        self._system_reason = reason
        if self.goal is not None and not active and (was_permitted or not coming):
            self._end(False, f"the system is not ACTIVE: {reason}", now_s)

    def arm(self, state: int, reason: str, now_s: float) -> None:
        """Takes the state of the arm (numbers of ArmState.msg)."""
        self._arm_state = state
        self._arm_reason = reason
        if self.goal is None:
            return
        if state == ARM_FAULT:
            self._end(False, f"the arm is in FAULT: {reason}", now_s)
        elif state == ARM_RETRACTING:
            self._end(False, "an operator retracted the needle", now_s)

    def tool(self, position: NDArray[np.float64], axis: NDArray[np.float64]) -> None:
        """Takes the measured tip position [m] and the unit vector along the needle, base frame."""
        self._pose = (position, axis)
        if self.goal is not None and self._insertion is not None:
            self.depth_m = self._depth()

    def touch(self, force_n: float, distance_m: float, now_s: float) -> None:
        """Takes the newest axial force [N] and the distance to the surface ahead [m]; NaN when there is none."""
        self._force_n, self._distance_m = force_n, distance_m
        # Comparisons with NaN are false: a missing value confirms nothing.
        if force_n >= self.settings.contact_force_n or distance_m <= self.settings.touch_distance_m:
            self._touch_s = now_s

    def chunk(self, goal_id: str, aux: float, status: str, now_s: float) -> None:
        """Takes the auxiliary channel of a chunk (0 approach, 1 inserting, 2 finished) and the expert's sentence."""
        if self.goal is None or goal_id != self.goal.goal_id or not self._started:
            return
        self.status = status or self.status
        if status.startswith("failed"):  # the expert gives the goal up (policy protocol)
            self._end(False, f"the policy gave up: {status}", now_s)
            return
        if aux < 0.5:
            self.phase = Phase.APPROACH
            self.depth_m = math.nan
            self._insertion = None
            self._finished_s = None
            return
        if self._insertion is None:
            if self._pose is None:
                self.status = "waiting for tool_pose to measure the depth"
                return
            self._insertion = (self._pose[0].copy(), self._pose[1].copy())
            self.depth_m = 0.0
        if self.phase == Phase.APPROACH:
            self.phase = Phase.INSERT
        if aux < 1.5:
            self._finished_s = None
        elif self._finished_s is None:
            self._finished_s = now_s

    def step(self, now_s: float) -> None:
        """Judges dwell, confirmation and time limit; call it at the heartbeat rate."""
        if self.goal is None:
            return
        if now_s - self.goal.accepted_s > self.goal.timeout_s:
            held = f"; arm: {self._arm_reason}" if self._arm_reason else ""
            self._end(False, f"no success within {self.goal.timeout_s:g} s (phase {self.phase.name}{held})", now_s)
            return
        if self._finished_s is None:
            self._dwell_s = None
            if self.phase == Phase.DWELL:
                self.phase = Phase.INSERT
            return
        touching = now_s - self._touch_s <= TOUCH_MEMORY_S and self.depth_m >= self.settings.min_depth_m
        if touching:
            if self._dwell_s is None:
                self._dwell_s = now_s
            self.phase = Phase.DWELL
            if now_s - self._dwell_s >= self.settings.dwell_s:
                self._end(True, f"touch confirmed for {self.settings.dwell_s:g} s", now_s)
            return
        self._dwell_s = None
        self.phase = Phase.INSERT
        if now_s - self._finished_s > self.settings.confirm_timeout_s:
            self._end(False, f"the policy says finished, but no touch is confirmed ({self._evidence()})", now_s)

    def _check_instruction(self, instruction: str) -> None:
        if not instruction:
            raise Refused(
                "expected an instruction, got an empty one: send for example 'insert the needle into the "
                f"{(self.settings.targets or ('green',))[0]} trocar'"
            )
        if len(instruction) > MAX_INSTRUCTION or not instruction.isprintable():
            raise Refused(
                f"expected one printable sentence of at most {MAX_INSTRUCTION} characters, got "
                f"{len(instruction)}: shorten it"
            )
        if not self.settings.targets:
            return
        words = set(re.findall(r"\w+", instruction.lower()))
        named = [target for target in self.settings.targets if target in words]
        if len(named) != 1:
            raise Refused(
                f"expected an instruction that names exactly one of {', '.join(self.settings.targets)}, got "
                f"'{instruction}': name one target"
            )

    def _depth(self) -> float:
        assert self._pose is not None and self._insertion is not None
        start, axis = self._insertion
        return float((self._pose[0] - start) @ axis)

    def _evidence(self) -> str:
        need = self.settings
        return (
            f"force {self._force_n:.3f} N, needs {need.contact_force_n:g}; "
            f"surface at {self._distance_m * 1e3:.2f} mm, needs {need.touch_distance_m * 1e3:g}; depth {self.depth_m * 1e3:.1f} mm, needs {need.min_depth_m * 1e3:g}"
        )

    def _end(self, success: bool, reason: str, now_s: float) -> None:
        assert self.goal is not None
        self.outcome = Outcome(success, reason, now_s - self.goal.accepted_s, self.depth_m)
        self.phase = Phase.SUCCEEDED if success else Phase.FAILED
        self.status = reason
        self.goal = None
        self._started = False
