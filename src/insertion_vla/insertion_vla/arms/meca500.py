"""Mecademic Meca500 over TCP, through the manufacturer's mecademicpy.

Velocity commands in the robot's base axes (MoveLinVelWrf) are streamed; the robot itself ends them after its velocity
timeout, stops when the connection watchdog is not refreshed, and supervises joint speed, torque and a work zone: these
hold when this process does not. Millimetres and degrees live here and in meca500_setup only.

An error, a safety stop or a lost connection is reported once with the robot's own reason, and only ``make_ready`` with
``reset`` clears it. The motors stay on when the connection is closed, because homing again may move the joints.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from insertion_vla_core.clock import ClockOffset
from insertion_vla_core.geometry import Pose, log_so3, pose_from_mm_deg
from insertion_vla_core.kinematics import Arm, forward
from mecademicpy.mx_robot_def import MxRobotStatusCode, MxSafeStopCategory, robot_status_code_info
from mecademicpy.robot import Robot
from mecademicpy.robot_classes import MecademicException, Message, RobotCallbacks, RobotStatus

from insertion_vla.arms.backend import OnState, OnTrouble, RobotState, Vector
from insertion_vla.arms.meca500_setup import (
    ANSWER_S,
    DEGREE,
    MILLI,
    Meca500Settings,
    check_work_zone,
    configure_motion,
    numbers,
    set_work_zone,
)

START_S = 60.0  # activation and homing of the real arm
RETRY_S = 0.25
STOP_S = 0.5  # to come to rest before the connection is closed
TIP_TOLERANCE_M, TIP_TOLERANCE_RAD = 1e-3, math.radians(0.5)  # between the robot's idea of the tip and ours
REST_RAD_S = 1e-3


class Meca500:
    """One robot. ``workspace`` is (2, 3): lowest and highest corner of the tip's box in the base frame [m]."""

    def __init__(
        self,
        settings: Meca500Settings,
        arm: Arm,
        tool: Pose,
        workspace: Sequence[Sequence[float]],
        on_state: OnState,
        on_trouble: OnTrouble,
    ) -> None:
        self.settings, self.arm, self.tool = settings, arm, tool
        margin = settings.work_zone_margin_m
        self._zone_mm = (np.array(workspace) + np.array([[-margin], [margin]])).ravel() / MILLI
        self._on_state, self._on_trouble = on_state, on_trouble
        self._robot: Robot | None = None
        self._clock = ClockOffset()
        self._connected = self._ready = False  # hears us, accepts velocities
        self._last_error = ""
        self._wanted, self._closing = threading.Condition(), False
        self._twist: Vector | None = None
        self._sender: threading.Thread | None = None
        self._watched_s = 0.0
        self._speed = 0.0  # largest joint rate of the newest state [rad/s]
        self._newest: RobotState | None = None
        self._state_came, self._given_up = threading.Event(), threading.Event()
        # What happens to the robot is told through on_trouble; the library would print it a second time.
        logging.getLogger("mecademicpy").addHandler(logging.NullHandler())
        logging.getLogger("mecademicpy").propagate = False

    def connect(self) -> None:
        self._reach(self.settings.connect_timeout_s)
        self._closing = False
        self._sender = threading.Thread(target=self._stream, name="robot", daemon=True)
        self._sender.start()

    def _reach(self, timeout_s: float) -> None:
        """Connect, also to a robot that is still starting."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                return self._connect_once()
            except OSError:
                if time.monotonic() > deadline_s or self._given_up.wait(RETRY_S):
                    raise

    def _connect_once(self) -> None:
        self._hang_up()
        robot = Robot()
        robot.RegisterCallbacks(self._callbacks(robot), run_callbacks_in_separate_thread=True)
        address = self.settings.address
        self._robot = robot
        self._state_came.clear()
        try:
            robot.Connect(address, disconnect_on_exception=False, timeout=1.0)
            robot.SetMonitoringInterval(self.settings.monitoring_interval_s)
            codes = MxRobotStatusCode
            robot.SetRealTimeMonitoring(codes.MX_ST_RT_JOINT_POS, codes.MX_ST_RT_JOINT_VEL, codes.MX_ST_RT_CART_POS)
        except (MecademicException, OSError, ValueError) as error:
            self._hang_up()
            # A robot that hangs up before its first words makes the library stumble.
            why = "it hangs up at once" if isinstance(error.__cause__, AttributeError) else error
            raise OSError(
                f"cannot connect to a Meca500 at {address}: {why}; is it on, and is no other program connected?"
            ) from None
        if not self._state_came.wait(ANSWER_S):
            self._hang_up()
            raise OSError(f"the Meca500 at {address} answers, but sends no joint positions within {ANSWER_S:g} s")

    def make_ready(self, reset: bool) -> None:
        self._ready = False
        if self._robot is None or not self._robot.IsConnected():
            self._reach(ANSWER_S)
        robot = self._robot
        assert robot is not None
        self._connected = True
        try:
            self._clear(robot, reset)
            self._activate(robot)
            configure_motion(robot, self.settings, self.tool)
        except (MecademicException, TimeoutError) as error:
            raise OSError(self._with_cause(f"the Meca500 did not get ready: {error}")) from None
        self._check_tip()
        self._watched_s = 0.0
        self._ready = True

    def _clear(self, robot: Robot, reset: bool) -> None:
        """Errors and safety stops: reasons to refuse, cleared only when a person asked for it."""
        status, safety = robot.GetStatusRobot(synchronous_update=True, timeout=ANSWER_S), robot.GetSafetyStatus()
        if status.error_status and not reset:
            raise OSError(f"the Meca500 is in error: {self._cause(status)}; find out why, then call arm/rearm")
        pressed = safety.stop_mask & ~safety.stop_resettable_mask
        if pressed:
            raise OSError(f"the Meca500 is in safety stop ({_stops(pressed)}); release it, then call arm/rearm")
        if safety.stop_mask and not reset:
            raise OSError(
                f"the Meca500 was in safety stop ({_stops(safety.stop_mask)}); find out why, then call arm/rearm"
            )
        if status.error_status:
            robot.ResetError()
            robot.WaitErrorReset(timeout=ANSWER_S)
            self._last_error = ""

    def _activate(self, robot: Robot) -> None:
        status = robot.GetStatusRobot(synchronous_update=True, timeout=ANSWER_S)
        if status.activation_state:
            check_work_zone(robot, self._zone_mm)
        else:
            set_work_zone(robot, self.tool, self._zone_mm)
            robot.ActivateRobot()
            robot.WaitActivated(timeout=START_S)
        if not status.homing_state:
            robot.Home()
            robot.WaitHomed(timeout=START_S)
        robot.ClearMotion()
        robot.WaitMotionCleared(timeout=ANSWER_S)
        robot.ResumeMotion()
        robot.WaitMotionResumed(timeout=ANSWER_S)

    def _check_tip(self) -> None:
        """The robot's tip and ours must agree, or one of the two has another tool or another arm."""
        self._state_came.clear()
        self._state_came.wait(ANSWER_S)  # measured before the settings were in force, maybe
        self._state_came.clear()
        if not self._state_came.wait(ANSWER_S) or self._newest is None or self._newest.tip is None:
            raise OSError("the Meca500 has stopped sending its joint positions")
        ours, its = forward(self.arm, self._newest.q) @ self.tool, self._newest.tip
        apart_m = float(np.linalg.norm(ours.position - its.position))
        apart_rad = float(np.linalg.norm(log_so3(ours.rotation @ its.rotation.T)))
        if apart_m > TIP_TOLERANCE_M or apart_rad > TIP_TOLERANCE_RAD:
            raise OSError(
                f"the Meca500 places the tip {apart_m * 1e3:.1f} mm and {math.degrees(apart_rad):.1f} deg from where "
                f"the kinematics of '{self.arm.name}' and the tool do; correct the parameters 'arm' and the tool"
            )

    def send(self, twist: Vector, q: Vector) -> None:
        # The library joins its threads when a connection breaks, and those may be waiting for our caller: hence a
        # thread of our own. Only the newest twist counts, so a stop overtakes whatever was asked for before.
        with self._wanted:
            self._twist = twist
            self._wanted.notify()

    def _stream(self) -> None:
        """The thread that sends."""
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._twist is not None or self._closing)
                twist, self._twist = self._twist, None
            if twist is None:
                return
            self._send_now(twist)

    def _send_now(self, twist: Vector) -> None:
        robot = self._robot
        if not self._connected or robot is None:
            return
        now_s = time.monotonic()
        try:
            if now_s - self._watched_s > 0.3 * self.settings.watchdog_s:
                # Also while it cannot move: its state is wanted then, too.
                robot.ConnectionWatchdog(self.settings.watchdog_s)
                self._watched_s = now_s
            if self._ready:
                robot.MoveLinVelWrf(*numbers(twist[:3] / MILLI), *numbers(twist[3:] / DEGREE))
        except (MecademicException, OSError) as error:
            self._connected = False
            self._trouble(self._with_cause(f"the connection to the robot was lost: {error}"))

    def halt(self) -> None:
        self.send(np.zeros(6), np.zeros(6))

    def idle(self) -> None:
        robot = self._robot
        if robot is None or not self._connected:
            return
        try:
            if self._ready:
                robot.MoveLinVelWrf(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            robot.ConnectionWatchdog(0.0)
        except (MecademicException, OSError) as error:
            self._last_error = str(error)
        deadline_s = time.monotonic() + STOP_S
        while self._speed > REST_RAD_S and time.monotonic() < deadline_s:
            self._state_came.clear()
            self._state_came.wait(0.05)
        self._connected = self._ready = False

    def close(self) -> None:
        self.idle()
        with self._wanted:
            self._closing, self._twist = True, None
            self._wanted.notify()
        if self._sender is not None:
            self._sender.join()
            self._sender = None
        self._hang_up()

    def _hang_up(self) -> None:
        robot, self._robot = self._robot, None
        if robot is not None:
            robot.Disconnect()

    def give_up(self) -> None:
        self._given_up.set()

    def facts(self) -> dict[str, str]:
        offset = self._clock.offset_s
        return {
            "robot": f"Meca500 at {self.settings.address}",
            "ready": str(self._ready),
            "robot's last error": self._last_error or "none",
            "clock offset [s]": "unknown" if offset is None else f"{offset:.4f}",
        }

    # Callbacks, in the library's callback thread.

    def _callbacks(self, robot: Robot) -> RobotCallbacks:
        """What to do when something happens to this connection; nothing once there is a newer one."""

        def mine(action: Callable[..., None]) -> Callable[..., None]:
            return lambda *arguments: action(*arguments) if robot is self._robot else None

        callbacks = RobotCallbacks()
        callbacks.on_end_of_cycle = mine(lambda: self._cycle(robot))
        callbacks.on_command_message = mine(self._message)
        callbacks.on_error = mine(
            lambda: self._trouble(f"the robot is in error: {self._cause(robot.GetStatusRobot())}")
        )
        callbacks.on_safety_stop = mine(
            lambda: self._trouble(f"safety stop: {_stops(robot.GetSafetyStatus().stop_mask)}")
        )
        callbacks.on_deactivated = mine(lambda: self._trouble("the robot's motors were switched off"))
        callbacks.on_motion_paused = mine(lambda: self._trouble("the robot's motion was paused by someone else"))
        callbacks.on_disconnected = mine(self._disconnected)
        return callbacks

    def _cycle(self, robot: Robot) -> None:
        """All real-time data of one monitoring cycle are here."""
        try:
            joints = robot.GetRtJointPos(include_timestamp=True, synchronous_update=False)
            rates = robot.GetRtJointVel(synchronous_update=False)
            tip = robot.GetRtCartPos(synchronous_update=False)
        except MecademicException:  # the first cycles come before the data that were asked for
            return
        robot_s = joints.timestamp * 1e-6
        self._clock.update(robot_s, time.time())
        dq = np.array(rates) * DEGREE
        self._speed = float(np.abs(dq).max())
        state = RobotState(
            int(self._clock.to_local_s(robot_s) * 1e9), np.array(joints.data) * DEGREE, dq, pose_from_mm_deg(tip)
        )
        self._newest = state
        self._state_came.set()
        self._on_state(state)

    def _message(self, message: Message) -> None:
        """Remember the robot's own words about the first error."""
        info = robot_status_code_info.get(message.id)
        if info is not None and info.is_error and not self._last_error:
            self._last_error = f"[{message.id}] {message.data}"

    def _disconnected(self) -> None:
        self._connected = False
        self._trouble(self._with_cause("the connection to the robot was lost"))

    def _trouble(self, reason: str) -> None:
        """Report once per time that the robot was ready."""
        if self._ready:
            self._ready = False
            self._on_trouble(reason)

    def _cause(self, status: RobotStatus) -> str:
        if status.error_msg:
            return f"[{int(status.error_code or 0)}] {status.error_msg}"
        return self._last_error or "the robot gave no reason"

    def _with_cause(self, sentence: str) -> str:
        return f"{sentence} (the robot's last error: {self._last_error})" if self._last_error else sentence


def _stops(mask: int) -> str:
    """The names of safety signals."""
    names = [c.name.removeprefix("MX_SAFE_STOP_") for c in MxSafeStopCategory if c and mask & c]
    return ", ".join(name.lower().replace("_", " ") for name in names) or "unknown signal"
