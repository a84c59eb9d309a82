"""What the Meca500 reports by itself: status messages and the cyclic real-time data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from insertion_vla_core.geometry import Pose, pose_to_mm_deg

from insertion_vla_sim import meca500_codes as codes
from insertion_vla_sim.controller import RobotController
from insertion_vla_sim.controller_config import Vector

IDS = codes.REAL_TIME


def message(code: int, text: object) -> str:
    """One protocol message without its terminator."""
    return f"[{code}][{text}]"


def numbers(values: Sequence[float] | Vector) -> str:
    """Comma-separated values with the controller's precision."""
    return ",".join(f"{value:.5f}" for value in values)


@dataclass(frozen=True)
class Status:
    """Everything the status messages report; a change of any field is sent at once."""

    activated: bool
    homed: bool
    error_code: int
    error_text: str
    paused: bool
    cleared: bool
    end_of_block: bool
    end_of_movement: bool
    estop: int
    connection: int

    @staticmethod
    def of(controller: RobotController) -> Status:
        """Status now."""
        return Status(
            controller.activated,
            controller.homed,
            controller.error_code,
            controller.error_text,
            controller.paused,
            controller.cleared,
            controller.end_of_block,
            controller.end_of_movement,
            controller.estop_state,
            controller.connection_state,
        )

    def text(self) -> str:
        """Seven flags: activated, homed, simulation mode, error, paused, end of block, end of movement."""
        flags = (
            self.activated,
            self.homed,
            False,
            self.error_code != 0,
            self.paused,
            self.end_of_block,
            self.end_of_movement,
        )
        return message(codes.STATUS, ",".join(str(int(flag)) for flag in flags))

    def json(self) -> str:
        """The same in the form a client asks for with EnableJsonMode, with the cause of an error."""
        powered, activated, run = 2, 4, 7
        state = run if self.homed else activated if self.activated else powered
        return json.dumps(
            {
                "code": codes.STATUS,
                "metaData": {"msgType": 0},
                "data": {
                    "robotStatus": {
                        "state": state,
                        "simMode": 0,
                        "recovery": False,
                        "brakesEngaged": not self.activated,
                        "errorCode": self.error_code,
                        "errorMsg": self.error_text,
                    },
                    "motionStatus": {
                        "paused": self.paused,
                        "cleared": self.cleared,
                        "eom": self.end_of_movement,
                        "eob": self.end_of_block,
                    },
                    "safetyStatus": {"resetReady": False},
                },
            }
        )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Joint state of one control cycle, taken in the physics thread and formatted in the I/O thread.

    Attributes:
        time_us: since start, simulation time.
        q, dq: (6,) measured rad and rad/s.
        target_q, target_dq: (6,) asked of the motors.
        trf, wrf: frames in force.
        checkpoint: last one reached.
    """

    time_us: int
    q: Vector
    dq: Vector
    target_q: Vector
    target_dq: Vector
    trf: Pose
    wrf: Pose
    checkpoint: int

    @staticmethod
    def of(controller: RobotController) -> Snapshot:
        """Joint state now."""
        settings = controller.settings
        return Snapshot(
            round(controller.time_s * 1e6),
            controller.q,
            controller.dq,
            controller.target_q,
            controller.target_dq,
            settings.trf,
            settings.wrf,
            controller.checkpoint,
        )


def twist_mm_deg(twist: Vector) -> Vector:
    """Tool twist (6,) [m/s, rad/s] in the protocol's mm/s and deg/s."""
    return np.concatenate([twist[:3] * 1e3, np.rad2deg(twist[3:])])


def datum(code: int, controller: RobotController, now: Snapshot) -> str:
    """One real-time message of a snapshot; the controller serves its kinematics only.

    Raises:
        KeyError: not a code of REAL_TIME.
    """
    values: Sequence[float] | Vector
    if code == IDS["TargetJointPos"]:
        values = np.rad2deg(now.target_q)
    elif code == IDS["TargetCartPos"]:
        values = pose_to_mm_deg(controller.tool_pose(now.target_q))
    elif code == IDS["TargetJointVel"]:
        values = np.rad2deg(now.target_dq)
    elif code == IDS["TargetCartVel"]:
        values = twist_mm_deg(controller.tool_twist(now.target_q, now.target_dq))
    elif code == IDS["JointPos"]:
        values = np.rad2deg(now.q)
    elif code == IDS["CartPos"]:
        values = pose_to_mm_deg(controller.tool_pose(now.q))
    elif code == IDS["JointVel"]:
        values = np.rad2deg(now.dq)
    elif code == IDS["CartVel"]:
        values = twist_mm_deg(controller.tool_twist(now.q, now.dq))
    elif code == IDS["Checkpoint"]:
        return message(code, f"{now.time_us},{now.checkpoint}")
    elif code == IDS["Wrf"]:
        values = pose_to_mm_deg(now.wrf)
    elif code == IDS["Trf"]:
        values = pose_to_mm_deg(now.trf)
    else:
        raise KeyError(code)
    return message(code, f"{now.time_us},{numbers(values)}")


def cycle(monitored: Sequence[int], controller: RobotController, now: Snapshot) -> list[str]:
    """All messages of one monitoring cycle; joints and pose always come, with or without their own stamp."""
    lines = []
    if IDS["TargetJointPos"] not in monitored:
        lines.append(message(codes.JOINTS, numbers(np.rad2deg(now.target_q))))
    if IDS["TargetCartPos"] not in monitored:
        lines.append(message(codes.POSE, numbers(pose_to_mm_deg(controller.tool_pose(now.target_q)))))
    lines.extend(datum(code, controller, now) for code in monitored)
    lines.append(message(codes.CYCLE_END, now.time_us))
    return lines
