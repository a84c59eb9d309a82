"""What a Meca500 is told before it may move: limits that its own controller keeps, tool, time limits of commands.

The robot's controller counts in millimetres and degrees.
"""

import math

import numpy as np
from insertion_vla_core.geometry import Pose, pose_to_mm_deg
from mecademicpy.mx_robot_def import MxEventSeverity, MxTorqueLimitsMode, MxWorkZoneMode
from mecademicpy.robot import Robot
from pydantic import Field

from insertion_vla.arms.backend import Vector
from insertion_vla.parameters import ParameterModel

ANSWER_S = 3.0  # the robot answers within this time, or something is wrong
MILLI, DEGREE = 1e-3, math.pi / 180.0
ZONE_SEVERITY, ZONE_MODE = MxEventSeverity.MX_EVENT_SEVERITY_ERROR, MxWorkZoneMode.MX_WORK_ZONE_MODE_TOOL_IN_WORK_ZONE


class Meca500Settings(ParameterModel):
    """Parameters of the Meca500 back end."""

    address: str = Field("127.0.0.1", min_length=7, description="the robot's IP address (factory: 192.168.0.100)")
    connect_timeout_s: float = Field(
        15.0, ge=1.0, le=120.0, description="[s] to wait for the robot when the node configures"
    )
    velocity_timeout_s: float = Field(
        0.05, ge=0.02, le=0.2, description="[s] after which the robot itself ends a velocity command"
    )
    watchdog_s: float = Field(
        0.5, ge=0.1, le=2.0, description="[s] without a sign of life after which the robot stops and hangs up"
    )
    monitoring_interval_s: float = Field(0.01, ge=0.001, le=0.02, description="[s] between robot states")
    joint_speed_percent: float = Field(
        30.0, ge=1.0, le=100.0, description="[%] of the robot's top joint speeds that its controller allows"
    )
    torque_percent: float = Field(
        40.0, ge=5.0, le=100.0, description="[%] deviation from the expected joint torque that is an error"
    )
    cart_acceleration_percent: float = Field(
        50.0, ge=1.0, le=600.0, description="[%] Cartesian acceleration of the robot's controller"
    )
    work_zone_margin_m: float = Field(
        0.005, ge=0.0, le=0.05, description="[m] by which the robot's own work zone is larger than limits.workspace"
    )


def set_work_zone(robot: Robot, tool: Pose, zone_mm: Vector) -> None:
    """The box (6,) [mm] that the tip may not leave; for a deactivated robot, which keeps it over a power cycle."""
    robot.SetSynchronousMode(True)
    try:
        x, y, z = numbers(tool.position / MILLI)
        robot.SetToolSphere(x, y, z, 0.0)
        robot.SetWorkZoneLimits(*numbers(zone_mm))
        robot.SetWorkZoneCfg(ZONE_SEVERITY, ZONE_MODE)
    finally:
        robot.SetSynchronousMode(False)


def check_work_zone(robot: Robot, zone_mm: Vector) -> None:
    """An activated robot takes no work zone, so it must already have ours; raises OSError if not."""
    limits = robot.GetWorkZoneLimits(timeout=ANSWER_S)
    found = [limits.x_min, limits.y_min, limits.z_min, limits.x_max, limits.y_max, limits.z_max]
    severity = robot.GetWorkZoneCfg(timeout=ANSWER_S).severity
    if not np.allclose(found, zone_mm, atol=0.01) or severity != ZONE_SEVERITY:
        raise OSError(
            f"the Meca500 is activated with the work zone {np.round(found, 2).tolist()} mm, "
            f"expected {np.round(zone_mm, 2).tolist()} mm that is an error to leave; deactivate the robot "
            "(its web page), so that the zone can be set, and try again"
        )


def configure_motion(robot: Robot, settings: Meca500Settings, tool: Pose) -> None:
    """Settings that every activation puts back to their defaults; returns when they are in force."""
    robot.SetTrf(*numbers(pose_to_mm_deg(tool)))
    robot.SetWrf(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    robot.SetVelTimeout(settings.velocity_timeout_s)
    robot.SetJointVelLimit(settings.joint_speed_percent)
    robot.SetCartAcc(settings.cart_acceleration_percent)
    robot.SetTorqueLimits(*[settings.torque_percent] * 6)
    robot.SetTorqueLimitsCfg(
        MxEventSeverity.MX_EVENT_SEVERITY_ERROR, MxTorqueLimitsMode.MX_TORQUE_LIMITS_MODE_DELTA_WITH_EXPECTED
    )
    robot.SetCheckpoint(1).wait(timeout=ANSWER_S)


def numbers(values: Vector) -> list[float]:
    """Numbers as the robot reads them: with four decimals Python never writes an exponent."""
    return [round(value, 4) for value in values.tolist()]
