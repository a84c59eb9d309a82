"""Settings of the robot controller: what activation restores, what survives it, and the machine's dynamics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from insertion_vla_core.geometry import Pose
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# Severities of a supervision event.
SILENT, WARNING, PAUSE, CLEAR, ERROR = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Machine:
    """Dynamics of the machine at 100 % of the acceleration settings, and how long its start-up takes.

    Attributes:
        linear_acceleration: m/s² of the tool point.
        angular_acceleration: rad/s² of the tool.
        joint_acceleration: rad/s² of every joint.
        activation_s: from ActivateRobot to motors on.
        homing_s: from Home to homed.
        queue_length: motion commands that may wait.
        rated_torque_nm: per joint; an estimate for an arm of this size, the manufacturer publishes none.
    """

    linear_acceleration: float = 4.0
    angular_acceleration: float = 40.0
    joint_acceleration: float = 12.0
    activation_s: float = 0.0
    homing_s: float = 0.0
    queue_length: int = 13_000
    rated_torque_nm: tuple[float, ...] = (8.0, 8.0, 5.0, 2.0, 2.0, 1.0)


@dataclass
class MotionSettings:
    """Set by queued commands, restored to these values by every activation.

    Attributes:
        trf: tool reference frame in the flange frame.
        wrf: world reference frame in the base frame.
        velocity_timeout_s: a velocity command is worth this long.
        linear_speed: MoveLin, m/s.
        angular_speed: MoveLin, rad/s.
        cartesian_acceleration: fraction of the machine's.
        joint_speed: MoveJoints and MovePose, fraction of the arm's joint speed limits.
        joint_speed_limit: every move, fraction of the arm's joint speed limits.
        joint_acceleration: fraction of the machine's.
        torque_limits: (6,) external load of each joint, fraction of its rated torque.
        torque_severity: SILENT, WARNING, PAUSE, CLEAR or ERROR when a limit is exceeded.
        torque_mode: kept for GetTorqueLimitsCfg; the load is known here, so every mode compares it directly.
        blending: percent; kept for GetBlending, moves always come to rest between commands.
    """

    trf: Pose = field(default_factory=Pose.identity)
    wrf: Pose = field(default_factory=Pose.identity)
    velocity_timeout_s: float = 0.05
    linear_speed: float = 0.150
    angular_speed: float = float(np.deg2rad(45.0))
    cartesian_acceleration: float = 0.5
    joint_speed: float = 0.25
    joint_speed_limit: float = 1.0
    joint_acceleration: float = 0.8
    torque_limits: Vector = field(default_factory=lambda: np.ones(6))
    torque_severity: int = 1
    torque_mode: int = 2
    blending: float = 100.0


@dataclass
class WorkZone:
    """Box that a point of the robot must not leave; survives deactivation.

    Attributes:
        lower: (3,) m, base frame.
        upper: (3,) m, base frame.
        severity: SILENT, WARNING or ERROR.
        mode: 1 flange centre, 2 tool sphere, 3 tool sphere and flange centre.
        sphere: (4,) centre in the flange frame and radius, m.
    """

    lower: Vector = field(default_factory=lambda: np.full(3, -10.0))
    upper: Vector = field(default_factory=lambda: np.full(3, 10.0))
    severity: int = ERROR
    mode: int = 1
    sphere: Vector = field(default_factory=lambda: np.zeros(4))

    @property
    def unlimited(self) -> bool:
        """True while the limits are the factory's ±10 m, which no arm of this class can reach."""
        return bool((self.lower <= -10.0).all() and (self.upper >= 10.0).all())

    def excess(self, flange: Pose) -> float:
        """How far (m) the supervised points are outside the box; 0 inside."""
        tip = flange.apply(self.sphere[:3])
        points = {
            1: ((flange.position, 0.0),),
            2: ((tip, self.sphere[3]),),
            3: ((flange.position, 0.0), (tip, self.sphere[3])),
        }[self.mode]
        outside = [max((self.lower - p + r).max(), (p + r - self.upper).max(), 0.0) for p, r in points]
        return float(max(outside))
