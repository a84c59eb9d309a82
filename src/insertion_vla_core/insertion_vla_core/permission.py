"""Permission to move: a fresh positive heartbeat that names a goal which was not stopped before."""

from __future__ import annotations

import math


class Permission:
    """The newest heartbeat of the task.

    Attributes:
        goal: That the task names, empty if none.
    """

    def __init__(self) -> None:
        self.goal = ""
        self._permit, self._stamp_s = False, -math.inf
        self._barred_goal = ""

    def heartbeat(self, permit: bool, goal: str, now_s: float) -> None:
        """Take a heartbeat."""
        self.goal, self._permit, self._stamp_s = goal, permit, now_s

    def bar_goal(self) -> None:
        """The present goal moves the arm no more; only another one does."""
        self._barred_goal = self.goal

    def missing(self, now_s: float, max_age_s: float) -> str:
        """Why motion is not permitted, or empty."""
        age_s = now_s - self._stamp_s
        if age_s > max_age_s:
            age = f"{age_s:.2f} s old" if age_s < math.inf else "missing"
            return f"the task's heartbeat is {age} (limit {max_age_s:g} s)"
        if not self._permit:
            return "the task does not permit motion"
        if not self.goal:
            return "the task permits motion without naming a goal"
        if self.goal == self._barred_goal:
            return "stopped by a fault or a retract during this goal: give a new goal to go on"
        return ""
