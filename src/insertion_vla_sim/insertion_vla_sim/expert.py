"""A scripted expert with privileged state: it knows where the tube is, but feels for the membrane like anyone else.

Phases of one episode:

    approach  to a standoff on the axis, needle aligned
    descend   along the axis to a hover just above the mouth
    probe     the A-line looks down the needle: something near is the rim, something far or nothing is the hole
    search    spiral at hover height until the A-line looks into the hole
    insert    along the axis; force and A-line tell the rim from the membrane
    back_off  after a contact that is not the membrane: up to hover height, on along the spiral
    finished  hold, the needle touches the membrane
    failed    hold, the status says why

The depth of the membrane is never used. With `aim_error_m` the believed mouth is off sideways by that much, which is
what makes the search necessary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from insertion_vla_core.chunk import HORIZON
from insertion_vla_core.geometry import Pose

from insertion_vla_sim.expert_motion import Pace, aligned, rows_along, rows_to

FREE = Pace(0.018)
CAREFUL = Pace(0.009)
CONTACT = Pace(0.0019, braking=0.02)
CREEP = Pace(0.0009, braking=0.01)
STANDOFF_M = 0.020
CLOSE_M = 0.003  # from here on it moves as near contact
HOVER_M = 0.0010
AT_M, AT_RAD = 0.0006, 0.01
RIM_NEAR_M = 0.0022  # seen from hover height, a surface nearer than this is the rim
IN_TUBE_M = 0.0018  # a contact this far past the mouth is not the rim
CREEP_WITHIN_M = 0.0012
TOUCH_N = 0.10
TOUCH_SURFACE_M = 0.0004  # the membrane clings to the tip; a wall touched sideways leaves the way ahead open
PRESS_M = 0.00030  # how far past the seen surface it would go without feeling anything
RIM_N = 0.15
WALL_N = 0.40
MAX_DEPTH_M = 0.0118
SEARCH_PITCH_M = 0.0007
SEARCH_RADIUS_M = 0.0028


@dataclass(frozen=True, eq=False)
class Senses:
    """What the expert is given at a tick.

    Attributes:
        tool: measured needle tip, base frame.
        mouth: (3,) true centre of the target's mouth [m].
        axis: (3,) unit vector into the target tube.
        force_n: axial force after tare, averaged over a few tens of milliseconds.
        surface_m: nearest surface ahead as the A-line shows it, NaN for none in range.
    """

    tool: Pose
    mouth: np.ndarray
    axis: np.ndarray
    force_n: float
    surface_m: float


@dataclass(frozen=True, eq=False)
class Plan:
    """Deltas (8,6) and aux (8,) of a chunk anchored at the tool pose it was planned from, and a status for people."""

    deltas: np.ndarray
    aux: np.ndarray
    status: str


class ScriptedExpert:
    """See the module's docstring. One instance per episode at a time; `reset` starts the next one."""

    policy_id = "scripted_expert"

    def __init__(self, aim_error_m: float = 0.0, seed: int = 0) -> None:
        """Args: aim_error_m: sideways error of the believed mouth [m]; seed: of its direction."""
        self._aim_error_m = aim_error_m
        self.reset(seed)

    def reset(self, seed: int = 0) -> None:
        """Forget everything and start a new episode."""
        self._angle = float(np.random.default_rng(seed).uniform(0.0, 2.0 * np.pi))
        self.phase = "approach"
        self.searched = 0
        self._hold: Pose | None = None
        self._last: np.ndarray | None = None
        self._why = ""

    def act(self, senses: Senses) -> Plan:
        """Plan the next 0.8 s from one tick (10 Hz)."""
        tool = senses.tool.position
        # The rate planned last time is where this plan starts from, so that the motion is smooth.
        self._speed = 0.0 if self._last is None else float(np.linalg.norm(tool - self._last)) / 0.1
        self._last = tool.copy()
        rows = getattr(self, f"_{self.phase}")(senses)
        aux = 2.0 if self.phase == "finished" else 0.0 if self.phase == "approach" else 1.0
        if self.phase == "descend" and self._depth(senses) < -CLOSE_M:
            aux = 0.0
        return Plan(rows, np.full(HORIZON, aux), self._status())

    def _approach(self, senses: Senses) -> np.ndarray:
        goal = self._on_axis(senses, -STANDOFF_M)
        if _reached(senses.tool, goal):
            self._enter("descend")
        return rows_to(senses.tool, goal, FREE, self._speed)

    def _descend(self, senses: Senses) -> np.ndarray:
        depth = self._depth(senses)
        if senses.force_n > RIM_N:
            return self._back_away(senses)
        if _reached(senses.tool, self._on_axis(senses, -HOVER_M)):
            self._enter("probe")
        if depth < -CLOSE_M - 0.0005:
            return self._along(senses, -CLOSE_M, CAREFUL)
        return self._along(senses, -HOVER_M, CONTACT)

    def _probe(self, senses: Senses) -> np.ndarray:
        self._enter("insert" if _looks_into_hole(senses) else "search")
        return self._stay(senses)

    def _search(self, senses: Senses) -> np.ndarray:
        goal = self._on_axis(senses, -HOVER_M)
        if senses.force_n > RIM_N:
            return self._back_away(senses)
        if _reached(senses.tool, goal):
            if _looks_into_hole(senses):
                self._enter("insert")
                return self._stay(senses)
            self._next_point()
        return rows_to(senses.tool, goal, CONTACT, self._speed)

    def _insert(self, senses: Senses) -> np.ndarray:
        depth, inside = self._depth(senses), self._depth(senses) > IN_TUBE_M
        at_surface = not senses.surface_m > TOUCH_SURFACE_M
        if inside and senses.force_n > TOUCH_N and at_surface:
            self._enter("finished")
            return self._stay(senses)
        if senses.force_n > (WALL_N if inside else RIM_N):
            return self._back_away(senses)
        if depth > MAX_DEPTH_M:
            self._fail(f"no membrane within {MAX_DEPTH_M * 1e3:.1f} mm of the mouth")
            return self._stay(senses)
        end, pace = MAX_DEPTH_M + 0.0005, CONTACT
        if senses.surface_m < CREEP_WITHIN_M:
            end, pace = depth + senses.surface_m + PRESS_M, CREEP
        return self._along(senses, end, pace)

    def _back_off(self, senses: Senses) -> np.ndarray:
        if self._depth(senses) < -HOVER_M + AT_M:
            self._next_point()
        return self._along(senses, -HOVER_M, CONTACT)

    def _finished(self, senses: Senses) -> np.ndarray:
        return self._stay(senses)

    def _failed(self, senses: Senses) -> np.ndarray:
        return self._stay(senses)

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._hold = None

    def _fail(self, why: str) -> None:
        self._why = why
        self._enter("failed")

    def _back_away(self, senses: Senses) -> np.ndarray:
        self._enter("back_off")
        return self._along(senses, -HOVER_M, CONTACT)

    def _next_point(self) -> None:
        self.searched += 1
        if _spiral_radius(self.searched) > SEARCH_RADIUS_M:
            self._fail(f"no hole within {SEARCH_RADIUS_M * 1e3:.1f} mm of where the mouth should be")
        else:
            self._enter("search")

    def _stay(self, senses: Senses) -> np.ndarray:
        if self._hold is None:
            self._hold = senses.tool
        return rows_to(senses.tool, self._hold, CREEP, 0.0)

    def _along(self, senses: Senses, depth: float, pace: Pace) -> np.ndarray:
        return rows_along(senses.tool, self._aim(senses), senses.axis, depth, pace, self._speed)

    def _aim(self, senses: Senses) -> np.ndarray:
        """The believed mouth (3,), moved to the present point of the spiral."""
        across, beside = _across(senses.axis)
        error = self._aim_error_m * np.array([np.cos(self._angle), np.sin(self._angle)])
        x, y = error + _spiral(self.searched)
        return senses.mouth + x * across + y * beside

    def _depth(self, senses: Senses) -> float:
        return float((senses.tool.position - senses.mouth) @ senses.axis)

    def _on_axis(self, senses: Senses, depth: float) -> Pose:
        return Pose(self._aim(senses) + depth * senses.axis, aligned(senses.tool, senses.axis))

    def _status(self) -> str:
        if self.phase == "failed":
            return f"failed: {self._why}"
        return f"search {self.searched}" if self.phase == "search" else self.phase.replace("_", " ")


def _looks_into_hole(senses: Senses) -> bool:
    return not senses.surface_m < RIM_NEAR_M


def _reached(tool: Pose, goal: Pose) -> bool:
    tilt = float(np.arccos(np.clip(tool.rotation[:, 2] @ goal.rotation[:, 2], -1.0, 1.0)))
    return float(np.linalg.norm(tool.position - goal.position)) < AT_M and tilt < AT_RAD


def _across(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    across = np.cross(axis, helper)
    across /= np.linalg.norm(across)
    return across, np.cross(axis, across)


def _spiral_radius(index: int) -> float:
    """Radius [m] of spiral point `index`; points are one pitch apart along and across the turns."""
    return SEARCH_PITCH_M * float(np.sqrt(index / np.pi))


def _spiral(index: int) -> np.ndarray:
    """Offset (2,) [m] of a search point; 0 is the centre. Area per point is constant, turns are one pitch apart."""
    angle = 2.0 * np.pi * _spiral_radius(index) / SEARCH_PITCH_M
    return _spiral_radius(index) * np.array([np.cos(angle), np.sin(angle)])
