"""The classical baseline: triangulate the named trocar, approach along its axis, insert by feel.

No learning and no privileged state. Phases of one goal, each a method that returns the pose to move to and how fast:

    look      hold still until the key points give a steady mouth and axis
    approach  to a standoff on the axis, needle aligned
    refine    hold still there: nearer, undisturbed images decide the final line
    descend   to a hover just above the mouth
    probe     the A-line looks down the needle: a deep reading is the hole, a near one the rim
    search    spiral at hover height until the A-line looks into the hole
    insert    along the axis; the force and the A-line tell rim, membrane and depth apart
    back_off  after touching the rim: up to hover height, on to the next point of the spiral
    finished  hold: the needle touches the membrane
    failed    hold: the status says why
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from insertion_vla_core.calibration import load_calibration
from insertion_vla_core.chunk import HORIZON
from insertion_vla_core.geometry import Pose, exp_so3
from insertion_vla_core.observation import Observation
from numpy.typing import NDArray

from insertion_vla_policy.experts.motion import Speed, rows_towards
from insertion_vla_policy.experts.search import SEARCH_POINTS, spiral
from insertion_vla_policy.experts.trocar_estimate import TrocarEstimate, pose_at, pose_from_row
from insertion_vla_policy.protocol import Action, Expert, Features

FREE = Speed(0.020)
CAREFUL = Speed(0.008)
CONTACT = Speed(0.002)
CREEP = Speed(0.0005, braking=0.5)
STANDOFF_M = 0.015
HOVER_M = 0.001
AT_M, AT_RAD = 0.0006, 0.012  # close enough to a waypoint
SPREAD_M = 0.0008  # key points count as steady below this
FRESH_SETS = 2  # feature sets to look at, standing still, before a line is trusted
NEAR_SURFACE_M = 0.0025  # from hover height: nearer than this is the rim, farther or nothing is the hole
IN_TUBE_M = 0.002  # past the mouth by this, a contact ahead is no longer the rim
CREEP_WITHIN_M = 0.0010
TOUCH_WITHIN_M = 0.0003  # a force this far from any surface is the wall, not the membrane
TOUCH_N = 0.08
RIM_N = 0.15
MAX_DEPTH_M = 0.0125
SENSE_WINDOW_NS = 60_000_000
MIN_SURFACE_SAMPLES = 2  # of the 4 distances in that time must show a surface, or there is none in range


@dataclass(frozen=True)
class Senses:
    """What one observation says, in SI units; surface_m is None where the A-line sees none in range."""

    tool: Pose
    force_n: float
    surface_m: float | None


class VisualServo(Expert):
    """Expert `visual_servo`; see the module's docstring."""

    policy_id = "visual_servo"

    def __init__(self, calibration: str | Path) -> None:
        self._calibration = load_calibration(calibration)
        self._estimate = TrocarEstimate(self._calibration)
        self.reset("", "")

    def reset(self, goal: str, instruction: str) -> None:
        """Forgets everything and starts a new goal."""
        self._instruction = instruction
        self._estimate.clear()
        self._enter("look")
        self._search_index = 0
        self._offset = np.zeros(3)
        self._hold: Pose | None = None
        self._why = ""

    def act(self, observation: Observation) -> Action:
        """Plans the next 0.8 s from one observation of the contract's streams."""
        senses = read_senses(observation)
        if self._phase in ("look", "approach", "refine"):
            self._look_again(observation)
        goal, speed = getattr(self, f"_{self._phase}")(senses)
        return Action(rows_towards(senses.tool, goal, speed), np.full(HORIZON, self._aux(senses)), self._status())

    # Phases: each returns the pose to move to and the speed, and enters the next phase when its end is reached.

    def _look(self, senses: Senses) -> tuple[Pose, Speed]:
        self._settled(senses, "approach")
        return self._stay(senses), FREE

    def _approach(self, senses: Senses) -> tuple[Pose, Speed]:
        goal = self._on_axis(-STANDOFF_M, senses)
        if reached(senses.tool, goal):
            self._enter("refine")
            return self._stay(senses), FREE
        return goal, FREE

    def _refine(self, senses: Senses) -> tuple[Pose, Speed]:
        self._settled(senses, "descend")
        return self._stay(senses), FREE

    def _descend(self, senses: Senses) -> tuple[Pose, Speed]:
        goal = self._on_axis(-HOVER_M, senses)
        if reached(senses.tool, goal):
            self._enter("probe")
        touched = senses.force_n > RIM_N
        if touched:
            self._enter("back_off")
        near = self._depth(senses) > -0.004
        return goal, CONTACT if near else CAREFUL

    def _probe(self, senses: Senses) -> tuple[Pose, Speed]:
        self._enter("insert" if looks_into_hole(senses) else "search")
        return self._stay(senses), CONTACT

    def _search(self, senses: Senses) -> tuple[Pose, Speed]:
        if looks_into_hole(senses):
            self._enter("insert")
            self._offset = self._lateral(senses)
            return self._stay(senses), CONTACT
        goal = self._on_axis(-HOVER_M, senses)
        if reached(senses.tool, goal):
            self._next_search_point()
        return goal, CONTACT

    def _insert(self, senses: Senses) -> tuple[Pose, Speed]:
        depth = self._depth(senses)
        inside = depth > IN_TUBE_M
        near = senses.surface_m is not None and senses.surface_m < CREEP_WITHIN_M
        at_surface = senses.surface_m is None or senses.surface_m < TOUCH_WITHIN_M
        if inside and at_surface and senses.force_n > TOUCH_N:
            self._enter("finished")
            return self._stay(senses), CREEP
        if not inside and senses.force_n > RIM_N:
            self._enter("back_off")
            return self._stay(senses), CONTACT
        if depth > MAX_DEPTH_M:
            self._why = f"no contact within {MAX_DEPTH_M * 1e3:.1f} mm of the mouth"
            self._enter("failed")
            return self._stay(senses), CREEP
        return self._on_axis(MAX_DEPTH_M + 0.001, senses), CREEP if near else CONTACT

    def _back_off(self, senses: Senses) -> tuple[Pose, Speed]:
        goal = self._on_axis(-HOVER_M, senses)
        if reached(senses.tool, goal):
            self._next_search_point()
            if self._phase != "failed":
                self._enter("search")
        return goal, CONTACT

    def _finished(self, senses: Senses) -> tuple[Pose, Speed]:
        return self._stay(senses), CREEP

    def _failed(self, senses: Senses) -> tuple[Pose, Speed]:
        return self._stay(senses), CREEP

    # What the phases share.

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._fresh_sets = 0
        self._hold = None

    def _look_again(self, observation: Observation) -> None:
        features: Features = observation.streams["features"].newest
        stamps, poses = observation.streams["tool_pose"].valid()

        def flange_at(stamp_ns: int) -> Pose | None:
            tool = pose_at(stamps, poses, stamp_ns)
            return None if tool is None else tool @ self._calibration.tool.inverse()

        if self._estimate.update(features, flange_at):
            self._fresh_sets += 1

    def _settled(self, senses: Senses, following: str) -> None:
        if self._fresh_sets >= FRESH_SETS + 1 and self._estimate.spread_m < SPREAD_M:
            self._enter(following)

    def _stay(self, senses: Senses) -> Pose:
        if self._hold is None:
            self._hold = senses.tool
        return self._hold

    def _on_axis(self, depth_m: float, senses: Senses) -> Pose:
        """Tip at a depth behind the mouth on the (offset) axis, needle along it with the least turn from now."""
        axis = self._estimate.axis
        needle = senses.tool.rotation[:, 2]
        turn = np.cross(needle, axis)
        sine = float(np.linalg.norm(turn))
        angle = float(np.arctan2(sine, needle @ axis))
        rotation = exp_so3(turn / sine * angle) @ senses.tool.rotation if sine > 1e-9 else senses.tool.rotation
        return Pose(self._estimate.mouth + self._offset + axis * depth_m, rotation)

    def _depth(self, senses: Senses) -> float:
        return float((senses.tool.position - self._estimate.mouth) @ self._estimate.axis)

    def _lateral(self, senses: Senses) -> NDArray[np.float64]:
        away = senses.tool.position - self._estimate.mouth
        return away - (away @ self._estimate.axis) * self._estimate.axis

    def _next_search_point(self) -> None:
        self._search_index += 1
        if self._search_index >= SEARCH_POINTS:
            self._why = f"the hole was not found at any of {SEARCH_POINTS} points around the mouth"
            self._enter("failed")
            return
        self._offset = spiral(self._search_index, self._estimate.axis)

    def _aux(self, senses: Senses) -> float:
        if self._phase == "finished":
            return 2.0
        near = self._phase in ("probe", "search", "insert", "back_off")
        return 1.0 if near or (self._phase == "descend" and self._depth(senses) > -0.004) else 0.0

    def _status(self) -> str:
        if self._phase == "failed":
            return f"failed: {self._why}"
        if self._phase == "search":
            return f"search {self._search_index}/{SEARCH_POINTS}"
        if self._phase in ("look", "refine") and self._estimate.count == 0:
            return f"{self._phase}: {self._estimate.why_not}"
        return self._phase.replace("_", " ")


def read_senses(observation: Observation) -> Senses:
    """Newest tool pose, the force as the median of the last 60 ms, and the surface the A-line sees in that time."""
    poses = observation.streams["tool_pose"].valid()[1]
    force = recent(observation, "force")
    surface = recent(observation, "surface_distance")
    return Senses(
        tool=pose_from_row(poses[-1]),
        force_n=float(np.median(force)),
        surface_m=float(np.median(surface)) if len(surface) >= MIN_SURFACE_SAMPLES else None,
    )


def recent(observation: Observation, stream: str) -> NDArray[np.float64]:
    """Values (n,) of a one-channel stream over the last SENSE_WINDOW_NS of the data."""
    stamps, values = observation.streams[stream].valid()
    newest = observation.newest_ns.get("force", observation.stamp_ns)
    return values[stamps > newest - SENSE_WINDOW_NS, 0]


def looks_into_hole(senses: Senses) -> bool:
    """At hover height the needle's A-line sees the hole: nothing near ahead."""
    return senses.surface_m is None or senses.surface_m > NEAR_SURFACE_M


def reached(pose: Pose, goal: Pose) -> bool:
    """Within the waypoint tolerance in position and in the needle's direction."""
    away = float(np.linalg.norm(pose.position - goal.position))
    tilt = float(np.arccos(np.clip(pose.rotation[:, 2] @ goal.rotation[:, 2], -1.0, 1.0)))
    return away < AT_M and tilt < AT_RAD
