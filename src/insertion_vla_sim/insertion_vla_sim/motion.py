"""Motion queue of the robot controller: turns queued moves and velocity commands into joint velocities."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from insertion_vla_core.geometry import Pose, log_so3
from insertion_vla_core.kinematics import Arm, NoSolution, forward, inverse, jacobian

from . import meca500_codes as codes
from .controller_config import Machine, MotionSettings, Vector
from .paths import JointPath, LinePath, Runner

# Tracking gain of position-mode moves, 1/s, and the joint error (rad) at which a move counts as done.
TRACKING_GAIN, SETTLED_RAD = 30.0, 2e-5
# The Jacobian is renewed when a joint has moved this far (rad): 0.05 % of direction for a fifth of the work.
JACOBIAN_STEP_RAD = 5e-4
DAMPING = 1e-4
# Within this distance (rad) of a joint limit a velocity command is slowed so that the joint stops before it.
LIMIT_ZONE_RAD = 0.2
LIMIT_MARGIN_RAD = float(np.deg2rad(0.05))


class MotionFault(Exception):
    """A move that cannot be executed: the protocol's number and a sentence."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class MotionQueue:
    """Executes one command after the other; velocity commands replace each other at once.

    Attributes:
        settings: motion settings in force; queued changes are applied in order.
        lower, upper: (6,) joint limits in force, rad.
        reached: checkpoints reached since the owner last looked.
        twist: (6,) tool twist asked for in velocity mode, base axes.
    """

    def __init__(self, arm: Arm, machine: Machine, settings: MotionSettings, lower: Vector, upper: Vector) -> None:
        self.arm, self.machine, self.settings = arm, machine, settings
        self.lower, self.upper = lower, upper
        self.reached: deque[int] = deque()
        self.twist = np.zeros(6)
        self._commands: deque[tuple[str, Any]] = deque()
        self._runner: Runner | None = None
        self._aborting = False
        self._rest_until_s = -np.inf
        self._target = np.zeros(6)
        self._in_tool_axes = False
        self._joint_target = np.zeros(len(lower))
        self._joint_rates = np.zeros(len(lower))
        self._expires_s = -np.inf
        self._jacobian_at: tuple[Vector, Pose] | None = None
        self._inverse = np.zeros((len(lower), 6))
        self._rotation = np.eye(3)

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def idle(self) -> bool:
        """Nothing queued, nothing running, nothing left to decelerate."""
        return not (
            self._commands
            or self._runner
            or self._rest_until_s > -np.inf
            or self.twist.any()
            or self._joint_rates.any()
        )

    def append(self, kind: str, payload: Any) -> None:
        """Queue a command.

        Args:
            kind: joints or joints_rel (payload (6,) rad); pose or line (tool Pose in the world frame); line_trf or
                line_wrf (Pose, a step); velocity (tool twist (6,), whether in tool axes, joint rates (6,)); set
                (function of the MotionSettings); delay (s); checkpoint (its number).
            payload: by kind.
        """
        self._commands.append((kind, payload))

    def drop_velocity(self) -> None:
        """Let the velocity command in force expire now; the arm decelerates."""
        self._expires_s = -np.inf

    def abort(self) -> list[int]:
        """Decelerate whatever runs and empty the queue; returns the checkpoints that will never be reached."""
        discarded = [int(payload) for kind, payload in self._commands if kind == "checkpoint"]
        self._commands.clear()
        self.drop_velocity()
        self._rest_until_s = -np.inf
        self._aborting = self._runner is not None
        return discarded

    def halt(self) -> list[int]:
        """Forget everything without deceleration (motors off, or the arm was put elsewhere)."""
        discarded = self.abort()
        self._runner, self._aborting = None, False
        self.twist[:] = 0.0
        self._joint_rates[:] = 0.0
        return discarded

    def step(self, time_s: float, dt_s: float, q: Vector, run: bool) -> Vector:
        """Joint rates (6,) rad/s for the next dt_s; with run False everything decelerates to rest.

        Raises:
            MotionFault: a queued move cannot be executed.
        """
        if run and self._runner is None:
            self._next(time_s, q)
        if self._runner is not None:
            return self._follow(dt_s, q, run and not self._aborting)
        return self._velocity_rates(time_s, dt_s, q)

    # ---- position mode --------------------------------------------------------------------------------------

    def _at_rest(self, time_s: float) -> bool:
        return time_s >= self._expires_s and not self.twist.any() and not self._joint_rates.any()

    def _next(self, time_s: float, q: Vector) -> None:
        """Take commands until one needs time; settings and velocities need not wait for a velocity to expire."""
        if time_s < self._rest_until_s:
            return
        self._rest_until_s = -np.inf
        while self._commands and (self._at_rest(time_s) or self._commands[0][0] in ("set", "velocity")):
            kind, payload = self._commands.popleft()
            if kind == "set":
                payload(self.settings)
            elif kind == "velocity":
                self._target, self._in_tool_axes, self._joint_target = payload
                self._expires_s = time_s + self.settings.velocity_timeout_s
            elif kind == "checkpoint":
                self.reached.append(payload)
            elif kind == "delay":
                self._rest_until_s = time_s + payload
                return
            else:
                self._runner = Runner(self._plan(kind, payload, q))
                return

    def _plan(self, kind: str, payload: Any, q: Vector) -> JointPath | LinePath:
        settings = self.settings
        if kind in ("joints", "joints_rel"):
            goal = payload if kind == "joints" else q + payload
            self._check_joints(goal)
            return self._joint_path(q, goal)
        tool = forward(self.arm, q) @ settings.trf
        if kind == "line_trf":
            target = tool @ payload
        elif kind == "line_wrf":
            step: Pose = payload
            world = settings.wrf.rotation
            rotation = world @ step.rotation @ world.T @ tool.rotation
            target = Pose(tool.position + world @ step.position, rotation)
        else:
            target = settings.wrf @ payload
        try:
            goal = inverse(self.arm, target @ settings.trf.inverse(), q)
        except NoSolution as error:
            raise MotionFault(codes.OUT_OF_REACH, f"The requested pose is out of reach: {error}") from error
        self._check_joints(goal)
        if kind == "pose":
            return self._joint_path(q, goal)
        fraction = settings.cartesian_acceleration
        return LinePath.plan(
            tool,
            target,
            (settings.linear_speed, settings.angular_speed),
            (fraction * self.machine.linear_acceleration, fraction * self.machine.angular_acceleration),
        )

    def _joint_path(self, q: Vector, goal: Vector) -> JointPath:
        speed = self.arm.speed_rad_s * min(self.settings.joint_speed, self.settings.joint_speed_limit)
        acceleration = np.full(len(q), self.settings.joint_acceleration * self.machine.joint_acceleration)
        return JointPath.plan(q, goal, speed, acceleration)

    def _check_joints(self, goal: Vector) -> None:
        beyond = np.flatnonzero((goal < self.lower) | (goal > self.upper))
        if beyond.size:
            i = int(beyond[0])
            low, high, value = np.rad2deg([self.lower[i], self.upper[i], goal[i]])
            text = f"Joint {i + 1} would be at {value:.3f} deg, its limits are {low:.3f} to {high:.3f} deg."
            raise MotionFault(codes.JOINT_OVER_LIMIT, text)

    def _follow(self, dt_s: float, q: Vector, run: bool) -> Vector:
        runner = self._runner
        assert runner is not None
        runner.advance(dt_s, run)
        if isinstance(runner.path, JointPath):
            error = runner.path.at(runner.s) - q
            rates = (runner.path.goal - runner.path.start) * runner.rate + TRACKING_GAIN * error
        else:
            tool = forward(self.arm, q) @ self.settings.trf
            wanted = runner.path.at(runner.s)
            off = np.concatenate([wanted.position - tool.position, log_so3(wanted.rotation @ tool.rotation.T)])
            rates = self._to_joints(q, runner.path.twist(runner.rate) + TRACKING_GAIN * off)
            error = self._to_joints(q, off)
            if runner.rate and ((q < self.lower) | (q > self.upper)).any():
                raise MotionFault(codes.JOINT_OVER_LIMIT, "A joint reached its limit on the straight path.")
        stopped = runner.arrived or (runner.rate == 0.0 and self._aborting)
        if stopped and np.abs(error).max() < SETTLED_RAD:
            self._runner, self._aborting = None, False
            return np.zeros(len(q))
        return self._within_speed(rates)

    # ---- velocity mode --------------------------------------------------------------------------------------

    def _velocity_rates(self, time_s: float, dt_s: float, q: Vector) -> Vector:
        live = time_s < self._expires_s
        if not live and not self.twist.any() and not self._joint_rates.any():
            return np.zeros(len(q))
        joints = self._joint_target if live else np.zeros(len(q))
        if joints.any() or self._joint_rates.any():
            limit = self.settings.joint_acceleration * self.machine.joint_acceleration * dt_s
            change = joints - self._joint_rates
            largest = np.abs(change).max()
            self._joint_rates = joints.copy() if largest <= limit else self._joint_rates + change * (limit / largest)
        self._ramp(self._target if live else np.zeros(6), dt_s * self.settings.cartesian_acceleration, q)
        rates = self._joint_rates + (self._to_joints(q, self.twist) if self.twist.any() else 0.0)
        return self._before_limits(q, self._within_speed(rates))

    def _ramp(self, target: Vector, effective_dt_s: float, q: Vector) -> None:
        """Move the twist towards its target within the acceleration limits, in a straight line each."""
        if self._in_tool_axes and target.any():
            self._refresh_jacobian(q)
            target = np.concatenate([self._rotation @ target[:3], self._rotation @ target[3:]])
        limits = (self.machine.linear_acceleration, self.machine.angular_acceleration)
        for part, limit in zip((slice(0, 3), slice(3, 6)), limits, strict=True):
            change = target[part] - self.twist[part]
            size = float(np.sqrt(change @ change))
            allowed = limit * effective_dt_s
            self.twist[part] = target[part] if size <= allowed else self.twist[part] + change * (allowed / size)

    def _refresh_jacobian(self, q: Vector) -> None:
        known = self._jacobian_at
        trf = self.settings.trf
        if known is not None and known[1] is trf and np.abs(q - known[0]).max() < JACOBIAN_STEP_RAD:
            return
        matrix = jacobian(self.arm, q, trf)
        self._inverse = matrix.T @ np.linalg.inv(matrix @ matrix.T + DAMPING**2 * np.eye(6))
        self._rotation = forward(self.arm, q).rotation @ trf.rotation
        self._jacobian_at = (q.copy(), trf)

    def _to_joints(self, q: Vector, twist: Vector) -> Vector:
        self._refresh_jacobian(q)
        return self._inverse @ twist

    def _within_speed(self, rates: Vector) -> Vector:
        """Scale all joints alike so that none exceeds its speed: the direction of motion is kept."""
        worst = float((np.abs(rates) / (self.arm.speed_rad_s * self.settings.joint_speed_limit)).max())
        return rates if worst <= 1.0 else rates / worst

    def _before_limits(self, q: Vector, rates: Vector) -> Vector:
        """Slow down so that every joint can stop before its limit; velocity mode raises no error there."""
        room = np.where(rates > 0.0, self.upper - q, q - self.lower) - LIMIT_MARGIN_RAD
        if room.min() > LIMIT_ZONE_RAD:
            return rates
        braking = 0.5 * self.machine.joint_acceleration
        allowed = np.sqrt(2.0 * braking * np.maximum(room, 0.0))
        wanted = np.abs(rates)
        moving = wanted > 1e-12
        if not moving.any():
            return rates
        scale = float((allowed[moving] / wanted[moving]).min())
        return rates if scale >= 1.0 else rates * scale
