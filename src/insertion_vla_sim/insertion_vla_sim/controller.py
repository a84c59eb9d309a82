"""What a Meca500 controller does between the TCP port and the motors: a pure state machine in simulation time.

It takes commands in SI units and joint state every tick, and returns joint velocities. It knows no socket, no clock
and no physics. Behaviour follows the programming manual: motion commands queue, velocity commands expire, activation
restores the motion settings, errors latch until reset and leave motion paused, safety signals beat everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import Arm, forward, jacobian

from . import meca500_codes as codes
from .controller_config import CLEAR, ERROR, PAUSE, SILENT, Machine, MotionSettings, Vector, WorkZone
from .motion import MotionFault, MotionQueue
from .supervision import LoadWatch, ZoneWatch

# Below this a joint (rad/s) stands still.
STANDSTILL_RAD_S = 5e-4


class Refused(Exception):
    """A command that cannot be executed now: the protocol's number and a sentence."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"[{code}] {text}")
        self.code, self.text = code, text


class RobotController:
    """Commands in, joint velocities out.

    Attributes:
        events: (code, text) pairs to be sent to whoever controls the robot; the owner drains it.
        settings: motion settings in force.
        work_zone: box supervision; change it while deactivated.
        lower, upper: (6,) joint limits in force, rad; change them in place while deactivated.
        target_q, target_dq: (6,) what the controller asks of the motors, rad and rad/s.
        load: (6,) external joint torque in fractions of rated, kept up to date by the owner; watched for limits.
    """

    def __init__(self, arm: Arm, tool: Pose | None = None, machine: Machine | None = None) -> None:
        """Start deactivated; `tool` is the tool frame that every activation restores (the flange by default)."""
        self.arm = arm
        self.machine = machine or Machine()
        self._tool = tool or Pose.identity()
        self.events: deque[tuple[int, str]] = deque()
        self.settings = MotionSettings(trf=self._tool)
        self.work_zone = WorkZone()
        self.lower, self.upper = np.array(arm.lower_rad), np.array(arm.upper_rad)
        self.activated = self.homed = self.paused = self.cleared = False
        self.error_code, self.error_text = 0, ""
        self.estop_state = self.connection_state = codes.STOP_RESET
        self.end_of_block = self.end_of_movement = True
        self.checkpoint = self.checkpoint_discarded = 0
        self.time_s = 0.0
        self.q, self.dq = np.zeros(len(self.lower)), np.zeros(len(self.lower))
        self.target_q, self.target_dq = self.q, self.dq
        self._motion = MotionQueue(arm, self.machine, self.settings, self.lower, self.upper)
        self._watchdog_s: float | None = None
        self._activation_s: float | None = None
        self._homing_s: float | None = None
        self.load = np.zeros(len(self.lower))
        self._zone_watch, self._load_watch = ZoneWatch(arm, self.work_zone), LoadWatch()

    # ---- state a client may ask for -------------------------------------------------------------------------

    @property
    def watchdog_enabled(self) -> bool:
        """True while a connection watchdog runs."""
        return self._watchdog_s is not None

    @property
    def pending(self) -> int:
        """Motion commands waiting in the queue."""
        return len(self._motion)

    @property
    def safety_stop(self) -> bool:
        """True while the emergency stop or a dropped connection forbids motion."""
        return self.estop_state != codes.STOP_RESET or self.connection_state != codes.STOP_RESET

    def tool_pose(self, q: Vector) -> Pose:
        """Tool frame in the world frame, as the controller reports it, for joint angles (6,) rad."""
        return self.settings.wrf.inverse() @ forward(self.arm, q) @ self.settings.trf

    def tool_twist(self, q: Vector, dq: Vector) -> Vector:
        """Tool twist (6,) [m/s, rad/s] in world axes for joint angles (6,) rad and rates (6,) rad/s."""
        twist = jacobian(self.arm, q, self.settings.trf) @ dq
        back = self.settings.wrf.rotation.T
        return np.concatenate([back @ twist[:3], back @ twist[3:]])

    # ---- commands that act at once --------------------------------------------------------------------------

    def activate(self) -> None:
        """Switch the motors on; motion settings return to their defaults.

        Raises:
            Refused: the emergency stop is pressed or an error is latched.
        """
        if self.estop_state != codes.STOP_RESET:
            raise Refused(codes.ACTIVATION_FAILED, "Activation failed: the emergency stop is pressed, release it.")
        self._refuse_in_error()
        if self.activated:
            self.events.append((codes.ACTIVATED, "Motors activated."))
        elif self._activation_s is None:
            self._activation_s = self.time_s + self.machine.activation_s

    def home(self) -> None:
        """Find the joint references.

        Raises:
            Refused: not activated, or an error is latched.
        """
        self._refuse_in_error()
        if not self.activated and self._activation_s is None:
            raise Refused(codes.NOT_ACTIVATED, "The robot is not activated.")
        if self.homed:
            self.events.append((codes.HOMED, "Homing done."))
        elif self._homing_s is None:
            self._homing_s = max(self.time_s, self._activation_s or 0.0) + self.machine.homing_s

    def deactivate(self) -> None:
        """Switch the motors off and set the brakes: an abrupt stop."""
        self._motors_off()
        self.events.append((codes.DEACTIVATED, "Motors deactivated."))

    def pause(self) -> None:
        """Decelerate and keep the queue; a velocity command in force is forgotten."""
        self.paused = True
        self._motion.drop_velocity()
        self.events.append((codes.MOTION_PAUSED, "Motion paused."))

    def resume(self) -> None:
        """Go on with the queue; acknowledges a dropped connection.

        Raises:
            Refused: not activated, or an error is latched.
        """
        self._refuse_in_error()
        if not self.activated:
            raise Refused(codes.NOT_ACTIVATED, "The robot is not activated.")
        if self.connection_state != codes.STOP_RESET:
            self.connection_state = codes.STOP_RESET
            self.events.append((codes.CONNECTION_DROPPED, str(codes.STOP_RESET)))
        self.paused = self.cleared = False
        self.events.append((codes.MOTION_RESUMED, "Motion resumed."))

    def clear(self) -> None:
        """Decelerate, empty the queue and stay paused."""
        self._abort()
        self.events.append((codes.MOTION_CLEARED, "The motion was cleared."))

    def reset_error(self) -> None:
        """Leave the error state; motion stays paused until resumed."""
        if not self.error_code:
            self.events.append((codes.NO_ERROR_TO_RESET, "There was no error to reset."))
            return
        self.error_code, self.error_text = 0, ""
        self.events.append((codes.ERROR_RESET, "The error was reset."))

    def connection_watchdog(self, timeout_s: float) -> None:
        """Start or refresh the connection watchdog, or cancel it with 0."""
        enabled = timeout_s > 0.0
        if enabled != self.watchdog_enabled:
            self.events.append((codes.WATCHDOG, str(int(enabled))))
        self._watchdog_s = self.time_s + timeout_s if enabled else None

    def connection_lost(self) -> None:
        """The controlling connection went away: a moving robot stops and stays paused."""
        self._watchdog_s = None
        if self.activated and not self.end_of_block and self.connection_state != codes.STOP_ACTIVE:
            self._connection_stop()

    def connection_back(self) -> None:
        """A client controls the robot again, so resume() may acknowledge a dropped connection."""
        if self.connection_state == codes.STOP_ACTIVE:
            self.connection_state = codes.STOP_RESETTABLE

    def emergency_stop(self, pressed: bool) -> None:
        """Press or release the emergency stop; pressed cuts the motors, released still needs activate() and home()."""
        state = codes.STOP_ACTIVE if pressed else codes.STOP_RESET
        if state == self.estop_state:
            return
        self.estop_state = state
        self.events.append((codes.ESTOP, str(state)))
        if pressed:
            self._motors_off()

    def fail(self, code: int, text: str) -> None:
        """Enter the error state: decelerate, empty the queue, refuse motion until reset_error() and resume()."""
        if self.error_code:
            return
        self.error_code, self.error_text = code, text
        self._abort()
        self.events.append((code, text))

    def teleport(self, q: Vector) -> None:
        """The simulated arm was put elsewhere: forget all motion, keep activation."""
        self._discard(self._motion.halt())
        self.q, self.dq = q.copy(), np.zeros_like(q)
        self.target_q, self.target_dq = self.q, self.dq
        self._zone_watch.start(q)

    # ---- motion commands ------------------------------------------------------------------------------------

    def set_velocity_wrf(self, twist: Vector) -> None:
        """Tool velocity (6,) [m/s, rad/s] in world axes, worth the velocity timeout; dropped while paused."""
        world = self.settings.wrf.rotation
        self._velocity(np.concatenate([world @ twist[:3], world @ twist[3:]]), False, np.zeros(len(self.q)))

    def set_velocity_trf(self, twist: Vector) -> None:
        """Tool velocity (6,) [m/s, rad/s] in tool axes, worth the velocity timeout; dropped while paused."""
        self._velocity(np.array(twist, dtype=np.float64), True, np.zeros(len(self.q)))

    def set_joint_velocity(self, rates: Vector) -> None:
        """Joint velocity (6,) rad/s, worth the velocity timeout; dropped while paused."""
        self._velocity(np.zeros(6), False, np.array(rates, dtype=np.float64))

    def move_joints(self, q: Vector) -> None:
        """Queue a joint move to q (6,) rad."""
        self._enqueue("joints", np.array(q, dtype=np.float64))

    def move_joints_rel(self, step: Vector) -> None:
        """Queue a joint move by a step (6,) rad."""
        self._enqueue("joints_rel", np.array(step, dtype=np.float64))

    def move_pose(self, pose: Pose) -> None:
        """Queue a joint move to a tool pose in the world frame."""
        self._enqueue("pose", pose)

    def move_lin(self, pose: Pose) -> None:
        """Queue a straight move to a tool pose in the world frame."""
        self._enqueue("line", pose)

    def move_lin_rel_trf(self, step: Pose) -> None:
        """Queue a straight move by a step in the tool frame."""
        self._enqueue("line_trf", step)

    def move_lin_rel_wrf(self, step: Pose) -> None:
        """Queue a straight move by a step in world axes."""
        self._enqueue("line_wrf", step)

    def configure(self, apply: Callable[[MotionSettings], None]) -> None:
        """Queue a change of the motion settings, in order with the moves around it."""
        self._enqueue("set", apply)

    def delay(self, seconds: float) -> None:
        """Queue a rest."""
        self._enqueue("delay", seconds)

    def set_checkpoint(self, number: int) -> None:
        """Queue a checkpoint that is reported when reached or discarded."""
        self._enqueue("checkpoint", number)

    # ---- the tick -------------------------------------------------------------------------------------------

    def update(self, time_s: float, q: Vector, dq: Vector) -> Vector:
        """Advance to time_s with measured joints (6,) rad and rad/s; returns joint velocities (6,) rad/s."""
        dt_s, self.time_s = max(time_s - self.time_s, 0.0), time_s
        self.q, self.dq = q, dq
        self._start_up()
        if self._watchdog_s is not None and time_s > self._watchdog_s:
            self._watchdog_s = None
            self._connection_stop()
        if not self.activated:
            self.target_q, self.target_dq = q, np.zeros_like(q)
            self._settle()
            return self.target_dq
        run = not (self.paused or self.error_code or self.safety_stop)
        try:
            rates = self._motion.step(time_s, dt_s, q, run)
        except MotionFault as fault:
            self.fail(fault.code, fault.text)
            rates = self._motion.step(time_s, dt_s, q, False)
        self._supervise(q, rates)
        while self._motion.reached:
            self.checkpoint = self._motion.reached.popleft()
            self.events.append((codes.CHECKPOINT_REACHED, str(self.checkpoint)))
        self.target_q, self.target_dq = q + rates * dt_s, rates
        self._settle()
        return rates

    # ---- inside ---------------------------------------------------------------------------------------------

    def _start_up(self) -> None:
        if self._activation_s is not None and self.time_s >= self._activation_s:
            self._activation_s, self.activated, self.paused, self.cleared = None, True, False, False
            self.settings = self._motion.settings = MotionSettings(trf=self._tool)
            self._zone_watch.start(self.q)
            self.events.extend([(codes.BRAKES_OFF, "All brakes released."), (codes.ACTIVATED, "Motors activated.")])
        if self._homing_s is not None and self.activated and self.time_s >= self._homing_s:
            self._homing_s, self.homed = None, True
            self.events.append((codes.HOMED, "Homing done."))

    def _settle(self) -> None:
        """Report ends of movement and of the block on their edges."""
        still = not self.target_dq.any() and bool(np.abs(self.dq).max() < STANDSTILL_RAD_S)
        block = still and self._motion.idle
        if still and not self.end_of_movement:
            self.events.append((codes.END_OF_MOVEMENT, "End of movement."))
        if block and not self.end_of_block:
            self.events.append((codes.END_OF_BLOCK, "End of block."))
        self.end_of_movement, self.end_of_block = still, block

    def _supervise(self, q: Vector, rates: Vector) -> None:
        """Act on a breach of the work zone ahead and on overloaded joints, by their severities."""
        braking = 0.5 * self.settings.joint_acceleration * self.machine.joint_acceleration
        outside_m = self._zone_watch.breach(q, rates, braking)
        if outside_m is not None and self.work_zone.severity == ERROR:
            text = f"Work zone error: the robot would leave its zone by {outside_m * 1e3:.1f} mm."
            self.fail(codes.WORK_ZONE_ERROR, text)
        elif outside_m is not None:
            self._zone_watch.accept(outside_m)
            if self.work_zone.severity != SILENT:
                self.events.append((codes.WORK_ZONE_STATUS, "1,0,0"))
        severity = self.settings.torque_severity
        overloaded = self._load_watch.edge(self.load, self.settings)
        if overloaded is not None and severity != SILENT:
            self.events.append((codes.TORQUE_LIMIT_STATUS, str(int(overloaded))))
        if overloaded and severity == ERROR:
            self.fail(codes.TORQUE_LIMIT_ERROR, "Torque limit error: a joint is loaded beyond its limit.")
        elif overloaded and severity == CLEAR:
            self.clear()
        elif overloaded and severity == PAUSE:
            self.pause()

    def _connection_stop(self) -> None:
        self.connection_state = codes.STOP_ACTIVE
        self.events.append((codes.CONNECTION_DROPPED, str(codes.STOP_ACTIVE)))
        self.paused = self.paused or self.activated
        self._motion.drop_velocity()

    def _motors_off(self) -> None:
        self._activation_s = self._homing_s = None
        self._discard(self._motion.halt())
        if self.activated:
            self.events.append((codes.BRAKES_ON, "All brakes set."))
        self.activated = self.homed = self.paused = self.cleared = False

    def _abort(self) -> None:
        self._discard(self._motion.abort())
        self.paused = self.cleared = True

    def _discard(self, checkpoints: list[int]) -> None:
        for number in checkpoints:
            self.checkpoint_discarded = number
            self.events.append((codes.CHECKPOINT_DISCARDED, str(number)))

    def _refuse_in_error(self) -> None:
        if self.error_code:
            raise Refused(codes.ALREADY_IN_ERROR, f"The robot is in error ({self.error_text.rstrip('.')}), reset it.")

    def _require_motion(self) -> None:
        self._refuse_in_error()
        if not self.activated:
            raise Refused(codes.NOT_ACTIVATED, "The robot is not activated.")
        if not self.homed:
            raise Refused(codes.NOT_HOMED, "The robot is not homed.")

    def _velocity(self, twist: Vector, in_tool_axes: bool, rates: Vector) -> None:
        self._require_motion()
        if not self.paused and not self.safety_stop:
            self._enqueue("velocity", (twist, in_tool_axes, rates))

    def _enqueue(self, kind: str, payload: Any) -> None:
        self._require_motion()
        if self.pending >= self.machine.queue_length:
            raise Refused(codes.BUFFER_FULL, f"The command buffer is full ({self.machine.queue_length} commands).")
        self._motion.append(kind, payload)
