"""The robot's state as the lab publishes it: ZMQ PUB, topic `robot_state`, 68 bytes little-endian, 100 Hz.

Layout `<ddf12f`: time of measurement [s], time of sending [s], a force that is always 0, six joints [deg],
pose x, y, z [mm] and alpha, beta, gamma [deg, mobile XYZ]. SI inside, millimetres and degrees only on the wire.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from insertion_vla_core.geometry import Array, Pose, pose_from_mm_deg, pose_to_mm_deg
from insertion_vla_core.wire.errors import WireError
from insertion_vla_core.wire.force_udp import MAX_TIME_S

TOPIC = b"robot_state"
_LAYOUT = struct.Struct("<ddf12f")


@dataclass(frozen=True, eq=False)
class RobotState:
    """One measurement of the robot.

    Attributes:
        origin_s: when it was measured [s, sender's clock].
        send_s: when it was sent [s, sender's clock].
        joints: (6,) rad.
        pose: of the flange in the base frame.
    """

    origin_s: float
    send_s: float
    joints: Array
    pose: Pose


def encode(state: RobotState) -> list[bytes]:
    """The two message parts, topic and payload."""
    six = pose_to_mm_deg(state.pose)
    return [TOPIC, _LAYOUT.pack(state.origin_s, state.send_s, 0.0, *np.degrees(state.joints), *six)]


def decode(parts: Sequence[bytes]) -> RobotState:
    """The state in the message parts [topic, payload].

    Raises:
        WireError: wrong parts, size, or numbers that are not finite.
    """
    if len(parts) != 2 or bytes(parts[0]) != TOPIC:
        raise WireError(f"expected two parts, the first '{TOPIC.decode()}', got {len(parts)} parts")
    if len(parts[1]) != _LAYOUT.size:
        raise WireError(f"expected a robot state of {_LAYOUT.size} bytes, got {len(parts[1])}")
    origin_s, send_s, _, *numbers = _LAYOUT.unpack(parts[1])
    if not (0.0 <= origin_s < MAX_TIME_S and 0.0 <= send_s < MAX_TIME_S and all(map(math.isfinite, numbers))):
        raise WireError("expected finite joints and pose and times since 1970, got NaN, infinity or an impossible time")
    return RobotState(origin_s, send_s, np.radians(numbers[:6]), pose_from_mm_deg(numbers[6:]))
