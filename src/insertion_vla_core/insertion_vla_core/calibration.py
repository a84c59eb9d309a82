"""Camera calibration: where each view looks from, and where the needle tip sits on the flange.

One YAML file (config/calibration/*.yaml) serves the camera driver (camera_info) and the policies (rays, projections).
Optical frames: z forward, x right, y down. Whole pixel coordinates are pixel centres, as in OpenCV and camera_info.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator

from insertion_vla_core.geometry import Pose, matrix_from_quaternion
from insertion_vla_core.strict_yaml import StrictModel, load_strict


class Mount(StrictModel):
    """A rigid transform as it stands in the file: position [m] and quaternion x y z w."""

    position: list[float] = Field(min_length=3, max_length=3)
    quaternion: list[float] = Field(min_length=4, max_length=4)

    @field_validator("quaternion")
    @classmethod
    def _unit(cls, value: list[float]) -> list[float]:
        norm = float(np.linalg.norm(value))
        if not abs(norm - 1.0) < 1e-3:
            raise ValueError(f"expected a unit quaternion x y z w, got one of length {norm:.4g}")
        return value

    def pose(self) -> Pose:
        return Pose(np.array(self.position), matrix_from_quaternion(np.array(self.quaternion)))


class View(Mount):
    """One camera: pinhole intrinsics [pixels] and its pose in the robot's base or on the flange."""

    width: int = Field(ge=16, le=8192)
    height: int = Field(ge=16, le=8192)
    fx: float = Field(gt=0)
    fy: float = Field(gt=0)
    cx: float
    cy: float
    frame: Literal["base", "flange"]


class CalibrationFile(StrictModel):
    """The file as it stands."""

    tool: Mount
    views: dict[str, View] = Field(min_length=1)


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated view. `mount` is the optical frame in `frame` ("base" or "flange")."""

    name: str
    view: View
    mount: Pose

    def ray(self, u: float, v: float, flange: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Origin [m] and unit direction in base axes of the ray through a pixel; flange is the pose at the image."""
        pose = self.in_base(flange)
        d = pose.rotation @ np.array([(u - self.view.cx) / self.view.fx, (v - self.view.cy) / self.view.fy, 1.0])
        return pose.position, d / np.linalg.norm(d)

    def project(self, points: ArrayLike, flange: Pose) -> NDArray[np.float64]:
        """Pixels (..., 2) of points (..., 3) in base axes [m]; NaN for points behind the camera."""
        p = self.in_base(flange).inverse().apply(np.asarray(points, float))
        z = np.where(p[..., 2] > 1e-6, p[..., 2], np.nan)
        u = self.view.fx * p[..., 0] / z + self.view.cx
        v = self.view.fy * p[..., 1] / z + self.view.cy
        return np.stack([u, v], axis=-1)

    def in_base(self, flange: Pose) -> Pose:
        return flange @ self.mount if self.view.frame == "flange" else self.mount


@dataclass(frozen=True, eq=False)
class Calibration:
    """Cameras by view name, and `tool`: the needle tip in the flange frame."""

    tool: Pose
    cameras: dict[str, Camera]


def load_calibration(path: str | Path) -> Calibration:
    """Reads a calibration file; raises ValueError naming the file and what is wrong in it."""
    file = load_strict(path, CalibrationFile, "a camera calibration")
    cameras = {name: Camera(name, view, view.pose()) for name, view in file.views.items()}
    return Calibration(file.tool.pose(), cameras)
