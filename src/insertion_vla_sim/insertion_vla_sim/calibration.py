"""The simulated cameras as a calibration file, generated from the scene so that the two cannot drift apart.

    python -m insertion_vla_sim.calibration config/calibration/sim.yaml

The format is that of `insertion_vla_core.calibration`. Whole pixel coordinates are pixel centres, as in OpenCV and in
camera_info, so the centre of a 320 pixel wide image is at 159.5.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import yaml
from insertion_vla_core.geometry import quaternion_from_matrix

from insertion_vla_sim import scene

HEADER = """\
# Cameras of the simulation, generated from its scene by `python -m insertion_vla_sim.calibration`; do not edit.
# Optical frames: z forward, x right, y down. Whole pixel coordinates are pixel centres.
# Positions in m, quaternions x y z w.
"""
# MuJoCo looks along -z with y up; an optical frame looks along +z with y down.
_OPTICAL_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])


def scene_calibration() -> dict[str, Any]:
    """The content of the calibration file: tool mount and one entry per view."""
    model = mujoco.MjModel.from_xml_string(scene.scene_xml())
    return {
        "tool": _mount(np.array([0.0, 0.0, scene.TOOL_LENGTH_M]), np.eye(3)),
        "views": {name: _view(model, name) for name in scene.VIEWS},
    }


def _mount(position: np.ndarray, rotation: np.ndarray) -> dict[str, list[float]]:
    quaternion = quaternion_from_matrix(rotation)
    return {
        "position": [round(float(v), 9) for v in position],
        "quaternion": [round(float(v), 12) for v in quaternion],
    }


def _view(model: mujoco.MjModel, name: str) -> dict[str, Any]:
    camera = model.camera(name)
    focal = 0.5 * scene.IMAGE_HEIGHT / math.tan(math.radians(float(camera.fovy[0])) / 2.0)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, camera.quat)
    return {
        "width": scene.IMAGE_WIDTH,
        "height": scene.IMAGE_HEIGHT,
        "fx": round(focal, 9),
        "fy": round(focal, 9),
        "cx": (scene.IMAGE_WIDTH - 1) / 2.0,
        "cy": (scene.IMAGE_HEIGHT - 1) / 2.0,
        "frame": "base" if camera.bodyid[0] == 0 else "flange",
        **_mount(camera.pos, rotation.reshape(3, 3) @ _OPTICAL_FROM_MUJOCO),
    }


def calibration_text() -> str:
    """The whole file."""
    return HEADER + yaml.safe_dump(scene_calibration(), sort_keys=False, default_flow_style=None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the calibration file of the simulated cameras.")
    parser.add_argument("path", type=Path, help="for example config/calibration/sim.yaml")
    path = parser.parse_args().path
    try:
        path.write_text(calibration_text())
    except OSError as error:
        print(f"cannot write {path}: {error.strerror}; name a file in an existing, writable folder", file=sys.stderr)
        return 1
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
