"""Rigid-body geometry: poses, rotation vectors, quaternions and the Meca500's Euler angles.

Metres and radians everywhere; millimetres and degrees only at the two functions named so.
Rotations are 3x3 matrices, small rotations are rotation vectors in base axes; angles are never subtracted.
Formulas: J. Sola, "Quaternion kinematics for the error-state Kalman filter" (2017); S. W. Shepperd,
"Quaternion from rotation matrix" (1978).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SMALL_ANGLE_RAD = 1e-4  # below this the series is exact to the last bit of a double
GIMBAL_COSINE = 1e-9  # cos(beta) below which alpha and gamma turn about the same axis


@dataclass(frozen=True, eq=False)
class Pose:
    """A rigid transform: maps points of its own frame into the frame it is expressed in.

    Attributes:
        position: (3,) float64, m.
        rotation: (3, 3) float64, a proper rotation. Checked where data enter, not here: this is the hot path.
    """

    position: Array
    rotation: Array

    def __post_init__(self) -> None:
        position = np.asarray(self.position, dtype=np.float64)
        rotation = np.asarray(self.rotation, dtype=np.float64)
        if position.shape != (3,) or rotation.shape != (3, 3):
            raise ValueError(
                f"expected a position of shape (3,) and a rotation of shape (3, 3), "
                f"got {position.shape} and {rotation.shape}"
            )
        object.__setattr__(self, "position", position)
        object.__setattr__(self, "rotation", rotation)

    @staticmethod
    def identity() -> Pose:
        """The transform that changes nothing."""
        return Pose(np.zeros(3), np.eye(3))

    def __matmul__(self, other: Pose) -> Pose:
        """Chain: `(a @ b).apply(x) == a.apply(b.apply(x))`."""
        return Pose(self.position + self.rotation @ other.position, self.rotation @ other.rotation)

    def inverse(self) -> Pose:
        """The transform that undoes this one."""
        transposed = self.rotation.T
        return Pose(-(transposed @ self.position), transposed)

    def apply(self, points: ArrayLike) -> Array:
        """Map points (..., 3) [m] into the outer frame; the shape is kept."""
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.position


def _vector(value: ArrayLike, size: int, what: str) -> list[float]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"expected {what} of shape ({size},), got {array.shape}")
    result: list[float] = array.tolist()
    return result


def _matrix(value: ArrayLike) -> list[list[float]]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (3, 3):
        raise ValueError(f"expected a rotation matrix of shape (3, 3), got {array.shape}")
    result: list[list[float]] = array.tolist()
    return result


def exp_so3(rotation_vector: ArrayLike) -> Array:
    """Rotation matrix (3, 3) of a rotation vector (3,) [rad]: axis times angle (Rodrigues)."""
    x, y, z = _vector(rotation_vector, 3, "a rotation vector")
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < SMALL_ANGLE_RAD:
        squared = angle * angle
        sine, cosine = 1.0 - squared / 6.0, 0.5 - squared / 24.0
    else:
        half = math.sin(0.5 * angle)  # 1 - cos without cancellation
        sine, cosine = math.sin(angle) / angle, 2.0 * half * half / (angle * angle)
    xx, yy, zz = cosine * x * x, cosine * y * y, cosine * z * z
    xy, xz, yz = cosine * x * y, cosine * x * z, cosine * y * z
    sx, sy, sz = sine * x, sine * y, sine * z
    return np.array(
        [
            [1.0 - yy - zz, xy - sz, xz + sy],
            [xy + sz, 1.0 - xx - zz, yz - sx],
            [xz - sy, yz + sx, 1.0 - xx - yy],
        ]
    )


def log_so3(rotation: ArrayLike) -> Array:
    """Rotation vector (3,) [rad] of a rotation matrix, length in [0, pi]; exact near 0 and near pi.

    At pi both signs of the axis are right; one of them is returned.
    """
    x, y, z, w = _quaternion(_matrix(rotation))
    length = math.sqrt(x * x + y * y + z * z)
    # w >= 0, so the angle is at most pi; the limit of angle / length at 0 is 2.
    factor = 2.0 if length < 1e-150 else 2.0 * math.atan2(length, w) / length
    return np.array([factor * x, factor * y, factor * z])


def pose_delta(anchor: Pose, pose: Pose) -> Array:
    """How `pose` differs from `anchor` in base axes: (6,) [p - p_a (m), log(R R_a^T) (rad)]."""
    delta = np.empty(6)
    delta[:3] = pose.position - anchor.position
    delta[3:] = log_so3(pose.rotation @ anchor.rotation.T)
    return delta


def apply_delta(anchor: Pose, delta: ArrayLike) -> Pose:
    """The pose that lies `delta` (6,) [m, rad; base axes] from `anchor`: undoes `pose_delta`."""
    values = np.asarray(delta, dtype=np.float64)
    if values.shape != (6,):
        raise ValueError(f"expected a delta of shape (6,), got {values.shape}")
    return Pose(anchor.position + values[:3], exp_so3(values[3:]) @ anchor.rotation)


def interpolate(start: Pose, end: Pose, fraction: float) -> Pose:
    """The pose at `fraction` (0 = start, 1 = end) on the straight line and the shortest turn between two poses."""
    return apply_delta(start, fraction * pose_delta(start, end))


def _quaternion(m: list[list[float]]) -> tuple[float, float, float, float]:
    """Unit quaternion x, y, z, w with w >= 0; divides by the largest component, so it is exact everywhere."""
    (a, b, c), (d, e, f), (g, h, i) = m
    trace = a + e + i
    if trace >= max(a, e, i):
        x, y, z, w = h - f, c - g, d - b, 1.0 + trace
    elif a >= e and a >= i:
        x, y, z, w = 1.0 + a - e - i, b + d, c + g, h - f
    elif e >= i:
        x, y, z, w = b + d, 1.0 + e - a - i, f + h, c - g
    else:
        x, y, z, w = c + g, f + h, 1.0 + i - a - e, d - b
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    if w < 0.0:
        scale = -scale
    return x * scale, y * scale, z * scale, w * scale


def quaternion_from_matrix(rotation: ArrayLike) -> Array:
    """Unit quaternion (4,) x, y, z, w with w >= 0 of a rotation matrix."""
    return np.array(_quaternion(_matrix(rotation)))


def matrix_from_quaternion(quaternion: ArrayLike) -> Array:
    """Rotation matrix of a quaternion (4,) x, y, z, w; normalised here.

    Raises:
        ValueError: it has no direction (all zeros) or is not finite.
    """
    x, y, z, w = _vector(quaternion, 4, "a quaternion (x, y, z, w)")
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    if not 1e-9 < norm < math.inf:
        raise ValueError(f"expected a quaternion (x, y, z, w) of length near 1, got length {norm:g}")
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
            [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
            [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )


def matrix_from_mobile_xyz(angles_rad: ArrayLike) -> Array:
    """Rotation matrix of the Meca500's Euler angles (3,) [rad]: Rx(alpha) Ry(beta) Rz(gamma)."""
    alpha, beta, gamma = _vector(angles_rad, 3, "Euler angles")
    sa, ca = math.sin(alpha), math.cos(alpha)
    sb, cb = math.sin(beta), math.cos(beta)
    sg, cg = math.sin(gamma), math.cos(gamma)
    return np.array(
        [
            [cb * cg, -cb * sg, sb],
            [ca * sg + sa * sb * cg, ca * cg - sa * sb * sg, -sa * cb],
            [sa * sg - ca * sb * cg, sa * cg + ca * sb * sg, ca * cb],
        ]
    )


def mobile_xyz_from_matrix(rotation: ArrayLike) -> Array:
    """Euler angles (3,) [rad] with R = Rx(alpha) Ry(beta) Rz(gamma), beta in [-pi/2, pi/2].

    At beta = +-pi/2 only one combination of alpha and gamma is defined: alpha is 0 there.
    """
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = _matrix(rotation)
    cosine = math.hypot(r00, r01)
    beta = math.atan2(r02, cosine)
    alpha = math.atan2(-r12, r22) if cosine > GIMBAL_COSINE else 0.0
    sa, ca = math.sin(alpha), math.cos(alpha)
    # Taken from Rx(-alpha) R, which keeps the product exact even where alpha itself is poorly defined.
    gamma = math.atan2(ca * r10 + sa * r20, ca * r11 + sa * r21)
    return np.array([alpha, beta, gamma])


def pose_from_mm_deg(six: Any) -> Pose:
    """Pose of a Meca500 six-tuple: x, y, z [mm], alpha, beta, gamma [deg]."""
    values = np.asarray(_vector(six, 6, "x, y, z [mm], alpha, beta, gamma [deg]"))
    return Pose(values[:3] * 1e-3, matrix_from_mobile_xyz(np.radians(values[3:])))


def pose_to_mm_deg(pose: Pose) -> Array:
    """The Meca500 six-tuple (6,) of a pose: x, y, z [mm], alpha, beta, gamma [deg]."""
    return np.concatenate([pose.position * 1e3, np.degrees(mobile_xyz_from_matrix(pose.rotation))])
