"""What a person wants to see of a run in one line: state, phase, depth, force, features age, action rate."""

import math
from collections import deque

import numpy as np

from insertion_vla.messages import ns_from_time
from insertion_vla_interfaces.msg import ActionChunk, ArmState, SystemState, TaskState

SYSTEM_NAMES = ("DOWN", "STARTING", "ACTIVE", "DEGRADED", "STOPPING")
ARM_NAMES = ("OFF", "HOLD", "MOVING", "SLOWED", "RETRACTING", "FAULT")
PHASE_NAMES = ("IDLE", "APPROACH", "INSERT", "DWELL", "RETRACT", "SUCCEEDED", "FAILED")
INTERVALS_KEPT = 100  # ten seconds of chunks


class RunView:
    """Takes the newest messages and tells them in one line."""

    def __init__(self) -> None:
        self.system: SystemState | None = None
        self.arm: ArmState | None = None
        self.task: TaskState | None = None
        self._features_ns = 0
        self._chunk_ns = 0
        self._chunk_status = ""
        self._stamps_ns: deque[int] = deque(maxlen=INTERVALS_KEPT)

    def on_system(self, message: SystemState) -> None:
        """Takes system/state."""
        self.system = message

    def on_arm(self, message: ArmState) -> None:
        """Takes arm/state."""
        self.arm = message

    def on_task(self, message: TaskState) -> None:
        """Takes task/state."""
        if self.task is not None and message.goal_id and message.goal_id != self.task.goal_id:
            self._stamps_ns.clear()
        self.task = message

    def on_chunk(self, message: ActionChunk) -> None:
        """Takes action_expert/chunk."""
        self._chunk_ns = ns_from_time(message.header.stamp)
        self._features_ns = ns_from_time(message.features_stamp)
        self._stamps_ns.append(self._chunk_ns)

    @property
    def phase(self) -> str:
        """Name of the task's phase, "-" before the first task/state."""
        return PHASE_NAMES[self.task.phase] if self.task else "-"

    @property
    def state(self) -> str:
        """Name of the system's state, "-" before the first system/state."""
        return SYSTEM_NAMES[self.system.state] if self.system else "-"

    def key(self) -> str:
        """Changes when the line says something new to a reader who does not want every number."""
        arm = ARM_NAMES[self.arm.state] if self.arm and self.arm.state == ArmState.FAULT else ""
        return f"{self.state} {self.phase} {arm}"

    def line(self, now_ns: int) -> str:
        """The line; `now_ns` on the clock of the stamps."""
        if self.task is None:
            return f"{self.state}: {self.system.reason if self.system else 'waiting for the lifecycle manager'}"
        parts = [self.state, self.phase]
        if self.task.goal_id:
            parts.append(f"{self.task.elapsed:.0f} s")
        if math.isfinite(self.task.depth):
            parts.append(f"depth {self.task.depth * 1e3:.2f} mm")
        if self.arm is not None:
            if math.isfinite(self.arm.force):
                parts.append(f"force {self.arm.force:.2f} N")
            parts.append(f"arm {ARM_NAMES[self.arm.state]}")
        if self.task.goal_id and self._features_ns:
            parts.append(f"features {(now_ns - self._features_ns) * 1e-9:.2f} s")
        if self.task.goal_id and len(self._stamps_ns) > 1:
            intervals_s = np.diff(self._stamps_ns) * 1e-9
            parts.append(f"action {1.0 / intervals_s.mean():.1f} Hz, p99 {np.percentile(intervals_s, 99) * 1e3:.0f} ms")
        return " | ".join([*parts, self._why()])

    def _why(self) -> str:
        assert self.task is not None
        if self.state == "DEGRADED" and self.system is not None:
            return self.system.reason
        if self.arm is not None and self.task.permit and self.arm.state in (ArmState.HOLD, ArmState.FAULT):
            return self.arm.reason
        return self.task.status
