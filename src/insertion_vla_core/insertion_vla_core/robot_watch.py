"""The newest measured state of the robot: how old it is, and whether it does what it was told."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from insertion_vla_core.geometry import Array, Pose
from insertion_vla_core.limits import Limits

RUNAWAY = 2.0  # times the joint speed limit


class RobotWatch:
    """Keeps the newest usable state.

    Attributes:
        limits: In force from the next call on.
        q: (n,) joints [rad], empty before the first state.
        pose: Tool pose, base frame.
    """

    def __init__(self, limits: Limits, joint_count: int) -> None:
        self.limits = limits
        self.q: list[float] = []
        self.pose = Pose.identity()
        self._joint_count = joint_count
        self._stamp_s = -math.inf

    def update(self, q: ArrayLike, pose: Pose, now_s: float) -> bool:
        """Take a state; False, and nothing is taken, if it is not finite or has the wrong number of joints."""
        joints = np.asarray(q, dtype=np.float64)
        if joints.shape != (self._joint_count,) or not np.isfinite(joints).all():
            return False
        if not (np.isfinite(pose.position).all() and np.isfinite(pose.rotation).all()):
            return False
        self.q, self.pose, self._stamp_s = joints.tolist(), pose, now_s
        return True

    def age_s(self, now_s: float) -> float:
        """Time since the newest state, NaN if none."""
        return now_s - self._stamp_s if self.q else math.nan

    def problem(self, now_s: float) -> str:
        """Why the state cannot be relied on, or empty."""
        if not self.q:
            return "no robot state yet"
        age_s, limit_s = now_s - self._stamp_s, self.limits.robot_age
        if age_s <= limit_s:
            return ""
        return f"the newest robot state is {age_s * 1e3:.0f} ms old (limit {limit_s * 1e3:.0f} ms)"

    def runaway(self, dq: ArrayLike) -> str:
        """That a joint (speeds dq [rad/s]) turns much faster than ever commanded, or empty."""
        fastest, limit = float(np.abs(np.asarray(dq, dtype=np.float64)).max()), self.limits.joint_speed
        return f"a joint turns at {fastest:.2f} rad/s (limit {limit:g} rad/s)" if fastest > RUNAWAY * limit else ""

    def deviation(self, error: Array) -> str:
        """That the tool is too far (6,) [m, rad] from where it was commanded, or empty."""
        limits = self.limits
        distance, angle = math.hypot(*error[:3].tolist()), math.hypot(*error[3:].tolist())
        if distance <= limits.deviation and angle <= limits.angular_deviation:
            return ""
        return (
            f"the robot does not follow: the tool is {distance * 1e3:.1f} mm and {angle:.2f} rad from where it was "
            f"commanded (limits {limits.deviation * 1e3:.1f} mm, {limits.angular_deviation:.2f} rad)"
        )
