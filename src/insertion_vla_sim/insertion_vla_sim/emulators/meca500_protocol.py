"""The Meca500 text protocol over a robot controller: one line in, reply lines out; no sockets, no clock.

Numbers on the wire are millimetres, degrees, seconds and percent; the controller gets SI units.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
from insertion_vla_core.geometry import Pose, pose_from_mm_deg, pose_to_mm_deg

from insertion_vla_sim import meca500_codes as codes
from insertion_vla_sim.controller import Refused, RobotController
from insertion_vla_sim.controller_config import Vector

from .meca500_arguments import SETTINGS, ArgumentError, Handler, Replies, Setting, flag, floats, within
from .meca500_configuration import Configuration
from .meca500_monitoring import Snapshot, Status, datum, message, numbers

MODEL, FIRMWARE, SERIAL = "Meca500 R4-virtual", "11.3.5", "M500-0000"
WELCOME = message(codes.CONNECTED, f"Connected to {MODEL} v{FIRMWARE}")
_LINE = re.compile(r"^\s*-?\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*$", re.DOTALL)


class Protocol:
    """Command interpreter.

    Attributes:
        json: the client asked for status in JSON.
        monitor_control_port: the client asked for monitoring data on the control port.
        monitored: codes of the optional real-time data, in the order they are sent.
        interval_s: between monitoring cycles.
    """

    def __init__(self, controller: RobotController) -> None:
        self.controller = controller
        self.monitored: list[int] = [codes.REAL_TIME["TargetJointPos"], codes.REAL_TIME["TargetCartPos"]]
        self.interval_s = 0.016666
        self.new_client()
        table = self._table() | Configuration(controller).table()
        self._handlers = {name.lower(): handler for name, handler in table.items()}

    def new_client(self) -> None:
        """A client connected: what belongs to the connection returns to its default."""
        self.json = self.monitor_control_port = False
        self._eob, self._eom = True, False

    def status(self) -> str:
        """Status message in the form the client asked for."""
        status = Status.of(self.controller)
        return status.json() if self.json else status.text()

    def safety(self) -> Replies:
        """Safety signals that are not reset, as a new listener needs them."""
        signals = (
            (codes.ESTOP, self.controller.estop_state),
            (codes.CONNECTION_DROPPED, self.controller.connection_state),
        )
        return [message(code, state) for code, state in signals if state != codes.STOP_RESET]

    def drain(self) -> Replies:
        """Messages of the controller since the last call, less the ends of block and movement that are switched off."""
        lines = []
        while self.controller.events:
            code, text = self.controller.events.popleft()
            if (code == codes.END_OF_BLOCK and not self._eob) or (code == codes.END_OF_MOVEMENT and not self._eom):
                continue
            lines.append(message(code, text))
        return lines

    def execute(self, line: str) -> Replies:
        """Interpret one line; every line gets what the controller would answer, errors included."""
        match = _LINE.match(line)
        if match is None:
            if "(" in line or ")" in line:
                return [message(codes.SYNTAX, f"Syntax error, symbol missing. - Command: '{line}'")]
            return [message(codes.UNKNOWN_COMMAND, f"Empty command or command unrecognized. - Command: '{line}'")]
        handler = self._handlers.get(match[1].lower())
        if handler is None:
            return [message(codes.UNKNOWN_COMMAND, f"Empty command or command unrecognized. - Command: '{line}'")]
        text = (match[2] or "").strip()
        arguments = [text] if text.startswith("{") else [part.strip() for part in text.split(",")] if text else []
        try:
            return handler(arguments)
        except ArgumentError as error:
            return [message(codes.ARGUMENT, f"Argument error: {error}. - Command: '{line}'")]
        except Refused as refused:
            return [message(refused.code, refused.text)]

    # ---- the command table ----------------------------------------------------------------------------------

    def _table(self) -> dict[str, Handler]:
        control = self.controller
        table: dict[str, Handler] = {
            "ActivateRobot": self._plain(control.activate),
            "Home": self._plain(control.home),
            "DeactivateRobot": self._plain(control.deactivate),
            "PauseMotion": self._plain(control.pause),
            "ResumeMotion": self._plain(control.resume),
            "ClearMotion": self._plain(control.clear),
            "ResetError": self._plain(control.reset_error),
            "MoveJoints": self._joints(control.move_joints),
            "MoveJointsRel": self._joints(control.move_joints_rel),
            "MoveJointsVel": self._joint_velocity,
            "MovePose": self._pose(control.move_pose),
            "MoveLin": self._pose(control.move_lin),
            "MoveLinRelTrf": self._pose(control.move_lin_rel_trf),
            "MoveLinRelWrf": self._pose(control.move_lin_rel_wrf),
            "MoveLinVelWrf": self._twist(control.set_velocity_wrf),
            "MoveLinVelTrf": self._twist(control.set_velocity_trf),
            "SetTrf": self._frame("trf"),
            "SetWrf": self._frame("wrf"),
            "GetTrf": lambda a: [message(2014, numbers(pose_to_mm_deg(control.settings.trf)))],
            "GetWrf": lambda a: [message(2013, numbers(pose_to_mm_deg(control.settings.wrf)))],
            "Delay": self._delay,
            "SetCheckpoint": self._set_checkpoint,
            "ConnectionWatchdog": self._watchdog,
            "SetEob": self._end_events("_eob", codes.EOB_ON, codes.EOB_OFF),
            "SetEom": self._end_events("_eom", codes.EOM_ON, codes.EOM_OFF),
            "GetStatusRobot": lambda a: [self.status()],
            "GetJoints": lambda a: [message(codes.JOINTS, numbers(np.rad2deg(control.target_q)))],
            "GetPose": lambda a: [message(codes.POSE, numbers(pose_to_mm_deg(control.tool_pose(control.target_q))))],
            "SyncCmdQueue": lambda a: [message(2097, int(floats(a, 1)[0]))],
            "EnableJsonMode": self._enable_json,
            "SetCtrlPortMonitoring": self._control_port_monitoring,
            "SetMonitoringInterval": self._monitoring_interval,
            "GetMonitoringInterval": lambda a: [message(2116, f"{self.interval_s:g}")],
            "SetRealTimeMonitoring": self._real_time_monitoring,
            "GetRealTimeMonitoring": lambda a: [self._monitored()],
            "GetCmdPendingCount": lambda a: [message(2080, control.pending)],
            "GetCheckpoint": lambda a: [message(2157, control.checkpoint)],
            "GetCheckpointDiscarded": lambda a: [message(2149, control.checkpoint_discarded)],
            "GetFwVersion": lambda a: [message(2081, f"v{FIRMWARE}")],
            "GetFwVersionFull": lambda a: [message(2082, f"{FIRMWARE}.0-Emulator")],
            "GetRobotSerial": lambda a: [message(2083, SERIAL)],
            "GetProductType": lambda a: [message(2084, "Meca500")],
            "GetRobotName": lambda a: [message(2095, "m500-emulator")],
            # The clock, the log and variables of the controller are outside what moves the arm: acknowledged only.
            "SetRtc": lambda a: [],
            "LogTrace": lambda a: [message(2012, ",".join(a))],
            "SetVariablesMonitoring": lambda a: [message(2555, int(flag(a)))],
        }
        for name, setting in SETTINGS.items():
            table[f"Set{name}"] = self._setter(name, setting)
            table[f"Get{name}"] = self._getter(setting)
        for name, code in codes.REAL_TIME.items():
            table[f"GetRt{name}"] = self._real_time_getter(code)
        return table

    @staticmethod
    def _plain(call: Callable[[], None]) -> Handler:
        def handler(arguments: list[str]) -> Replies:
            floats(arguments, 0)
            call()
            return []

        return handler

    def _joints(self, call: Callable[[Vector], None]) -> Handler:
        def handler(arguments: list[str]) -> Replies:
            call(np.deg2rad(floats(arguments, len(self.controller.lower))))
            return []

        return handler

    def _joint_velocity(self, arguments: list[str]) -> Replies:
        rates = np.deg2rad(floats(arguments, len(self.controller.lower)))
        limits = self.controller.arm.speed_rad_s
        if (np.abs(rates) > limits * (1.0 + 1e-9)).any():
            raise ArgumentError(f"expected joint velocities within {numbers(np.rad2deg(limits))} deg/s")
        self.controller.set_joint_velocity(rates)
        return []

    @staticmethod
    def _pose(call: Callable[[Pose], None]) -> Handler:
        def handler(arguments: list[str]) -> Replies:
            call(pose_from_mm_deg(floats(arguments, 6)))
            return []

        return handler

    @staticmethod
    def _twist(call: Callable[[Vector], None]) -> Handler:
        def handler(arguments: list[str]) -> Replies:
            values = floats(arguments, 6)
            within(float(np.abs(values[:3]).max()), 0.0, 1000.0, "a linear speed in mm/s")
            within(float(np.abs(values[3:]).max()), 0.0, 300.0, "an angular speed in deg/s")
            call(np.concatenate([values[:3] * 1e-3, np.deg2rad(values[3:])]))
            return []

        return handler

    def _frame(self, field: str) -> Handler:
        def handler(arguments: list[str]) -> Replies:
            pose = pose_from_mm_deg(floats(arguments, 6))
            self.controller.configure(lambda settings: setattr(settings, field, pose))
            return []

        return handler

    def _setter(self, name: str, setting: Setting) -> Handler:
        def handler(arguments: list[str]) -> Replies:
            value = within(float(floats(arguments, 1)[0]), setting.low, setting.high, name) * setting.scale
            self.controller.configure(lambda settings: setattr(settings, setting.field, value))
            return []

        return handler

    def _getter(self, setting: Setting) -> Handler:
        return lambda arguments: [
            message(setting.get_code, f"{getattr(self.controller.settings, setting.field) / setting.scale:g}")
        ]

    def _real_time_getter(self, code: int) -> Handler:
        return lambda arguments: [datum(code, self.controller, Snapshot.of(self.controller))]

    def _delay(self, arguments: list[str]) -> Replies:
        self.controller.delay(within(float(floats(arguments, 1)[0]), 0.0, 1e6, "seconds"))
        return []

    def _set_checkpoint(self, arguments: list[str]) -> Replies:
        number = float(floats(arguments, 1)[0])
        if number != int(number):
            raise ArgumentError(f"expected a whole number, got {arguments[0]}")
        self.controller.set_checkpoint(int(within(number, 1, 1_000_000, "a checkpoint")))
        return []

    def _watchdog(self, arguments: list[str]) -> Replies:
        if arguments and arguments[0].startswith("{"):
            try:
                arguments = [str(json.loads(arguments[0])["data"]["timeout"])]
            except (ValueError, KeyError, TypeError) as error:
                raise ArgumentError("expected data.timeout in the JSON argument") from error
        timeout = float(floats(arguments, 1)[0])
        self.controller.connection_watchdog(timeout if timeout == 0.0 else within(timeout, 0.001, 4.29e6, "seconds"))
        return []

    def _end_events(self, field: str, on: int, off: int) -> Handler:
        def handler(arguments: list[str]) -> Replies:
            enabled = flag(arguments)
            setattr(self, field, enabled)
            return [message(on if enabled else off, f"End events are {'enabled' if enabled else 'disabled'}.")]

        return handler

    def _enable_json(self, arguments: list[str]) -> Replies:
        self.json = True
        return [message(codes.SUCCESS, "Command successful: 'EnableJsonMode'")]

    def _control_port_monitoring(self, arguments: list[str]) -> Replies:
        self.monitor_control_port = flag(arguments)
        reply = [message(2096, int(self.monitor_control_port))]
        return [*reply, *self.safety(), self.status()] if self.monitor_control_port else reply

    def _monitoring_interval(self, arguments: list[str]) -> Replies:
        self.interval_s = within(float(floats(arguments, 1)[0]), 0.001, 1.0, "seconds")
        return [message(2116, f"{self.interval_s:g}")]

    def _real_time_monitoring(self, arguments: list[str]) -> Replies:
        """Enable the data asked for by name or code, less what this controller has not got, as the reply tells."""
        by_name = {name.lower(): code for name, code in codes.REAL_TIME.items()}
        wanted = [int(a) if a.isdigit() else by_name.get(a.strip("\"'").lower(), 0) for a in arguments]
        everything = any(a.strip("\"'").lower() == "all" for a in arguments)
        self.monitored = [code for code in codes.REAL_TIME.values() if everything or code in wanted]
        return [self._monitored()]

    def _monitored(self) -> str:
        return message(codes.REAL_TIME_MONITORING, ",".join(str(code) for code in self.monitored))
