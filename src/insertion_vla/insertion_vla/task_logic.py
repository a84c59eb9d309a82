"""The state table of the insertion task: which phase a goal is in, whether motion is permitted, how the goal ends.

Pure: no ROS, no threads, no clock. Every input carries `now_s` on the steady clock. Success is judged from the robot's
own sensors: the policy says it has finished, and the force or the A-line confirms a touch that lasts.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from insertion_vla.instruction import Refused, checked_instruction

ARM_RETRACTING = 4  # ArmState.RETRACTING
ARM_FAULT = 5  # ArmState.FAULT
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


class TaskSettings(BaseModel):
    """What counts as a confirmed insertion, and for how long to try."""

    model_config = ConfigDict(frozen=True)
    targets: list[str] = Field(
        default=["red", "green", "blue"], description="words of which an instruction names exactly one; empty: any text"
    )
    timeout_s: float = Field(default=90.0, gt=0, le=3600, description="[s] time limit of a goal that names none")
    max_timeout_s: float = Field(default=600.0, gt=0, le=3600, description="[s] longest time limit a goal may ask for")
    dwell_s: float = Field(default=0.5, ge=0, le=10, description="[s] how long the touch must last")
    min_depth_m: float = Field(
        default=0.002, ge=0, le=0.1, description="[m] least travel along the needle since insertion began"
    )
    contact_force_n: float = Field(default=0.03, gt=0, le=2, description="[N] axial force that confirms a touch")
    touch_distance_m: float = Field(
        default=0.0003, gt=0, le=0.005, description="[m] distance to the surface ahead that confirms a touch"
    )
    confirm_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="[s] how long the policy may say 'finished' without a confirmed touch"
    )


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
        return self.goal is not None and self._started and self.system_active and self._arm_state is not None

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
        instruction = checked_instruction(instruction, self.settings.targets)
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

    def start(self, goal_id: str) -> None:
        """Permits motion for the goal; an answer that belongs to an older goal changes nothing."""
        if self.goal is None or self.goal.goal_id != goal_id:
            return
        self._started = True
        self.status = "approaching" if self.system_active else f"waiting for the system: {self._system_reason}"
        if self._arm_state is None:
            self.status = "waiting for arm/state"

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

    def _depth(self) -> float:
        assert self._pose is not None and self._insertion is not None
        start, axis = self._insertion
        return float((self._pose[0] - start) @ axis)

    def _evidence(self) -> str:
        need = self.settings
        return (
            f"force {self._force_n:.3f} N, needs {need.contact_force_n:g}; "
            f"surface at {self._distance_m * 1e3:.2f} mm, needs {need.touch_distance_m * 1e3:g}; "
            f"depth {self.depth_m * 1e3:.1f} mm, needs {need.min_depth_m * 1e3:g}"
        )

    def _end(self, success: bool, reason: str, now_s: float) -> None:
        assert self.goal is not None
        self.outcome = Outcome(success, reason, now_s - self.goal.accepted_s, self.depth_m)
        self.phase = Phase.SUCCEEDED if success else Phase.FAILED
        self.status = reason
        self.goal = None
        self._started = False
