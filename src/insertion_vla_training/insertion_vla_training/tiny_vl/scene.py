"""Pictures of the simulated bench with the true pixel of every trocar's mouth and rear ring, for `train_tiny_vl`.

The key points are those that the expert `visual_servo` fits a tube to: the centre of the mouth, and the near side of
the barrel where it meets the painted ring. A frame set is what the backbone gets at one moment: one picture of every
view. The arm stands where it stands in an episode: at the start, on the way to one of the tubes, close to a mouth or
inside a tube. The eye gives a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from insertion_vla_core.geometry import Pose, exp_so3, interpolate, quaternion_from_matrix
from insertion_vla_core.kinematics import NoSolution, forward, inverse, load_arm
from insertion_vla_policy.experts.trocar_estimate import KEY_POINTS
from insertion_vla_sim.camera_noise import CameraNoise
from insertion_vla_sim.emulators.cameras import JPEG_QUALITY
from insertion_vla_sim.expert_motion import aligned
from insertion_vla_sim.randomise import Randomisation
from insertion_vla_sim.rays import RayRenderer
from insertion_vla_sim.scene_copy import SceneCopy
from insertion_vla_sim.world import World

from insertion_vla_sim import scene

START_SHARE, WAY_SHARE = 0.15, 0.45  # of the sets; the rest is close to a mouth or inside the tube
STANDOFF_M = 0.020
WAY_POSITION_SIGMA_M, WAY_TILT_SIGMA_RAD = 0.004, 0.05
NEAR_POSITION_SIGMA_M, NEAR_TILT_SIGMA_RAD = 0.0008, 0.015
INSIDE_M = 0.011
EYE_SLIDE_SIGMA_M, EYE_TILT_SIGMA_RAD = 0.0003, 0.006
SEEN_WITHIN_M = 0.0005


@dataclass(frozen=True, eq=False)
class FrameSet:
    """One picture per view and the truth about all tubes, in the order of scene.VIEWS and scene.COLOURS.

    Attributes:
        jpegs: (views,) encoded pictures.
        pixels: (views, colours, 2, 2) float32, u v of the mouth and of the rear ring; whole numbers are pixel centres.
        seen: (views, colours, 2) bool: the point is in the picture and nothing but its own tube is before it.
        tubes: (colours, 6) float32, mouth [m] and unit axis into the tube, base axes.
        flange: (7,) float64, position [m] and quaternion x y z w.
    """

    jpegs: list[bytes]
    pixels: np.ndarray
    seen: np.ndarray
    tubes: np.ndarray
    flange: np.ndarray


class KeypointScene:
    """Draws frame sets; the same seed and set give the same bytes."""

    def __init__(self, randomisation: Randomisation) -> None:
        self._randomisation: Randomisation = randomisation
        self._world = World(0, randomisation)
        self._renderer = RayRenderer(self._world.xml, scene.IMAGE_WIDTH, scene.IMAGE_HEIGHT)
        self._scene = SceneCopy(self._world.xml)
        self._arm = load_arm("meca500")
        self._tool = Pose(np.array([0.0, 0.0, scene.TOOL_LENGTH_M]), np.eye(3))

    def frame_set(self, seed: int) -> FrameSet:
        """The frame set of a seed."""
        rng = np.random.default_rng([seed, 77])
        self._world.reset(seed)
        self._world.place(self._joints(rng))
        state = self._world.render_state()
        eye = state[-6:]
        eye[:3] = rng.normal(0.0, EYE_SLIDE_SIGMA_M, 3)
        eye[3:] = rng.normal(0.0, EYE_TILT_SIGMA_RAD, 3)
        noise = CameraNoise(seed)
        jpegs = [_jpeg(noise.add(self._renderer.render(view, state))) for view in scene.VIEWS]
        self._scene.show(state)
        tubes = [self._tube(self._world.layout.colours.index(colour)) for colour in scene.COLOURS]
        pixels = np.empty((len(scene.VIEWS), len(scene.COLOURS), 2, 2), np.float32)
        seen = np.empty(pixels.shape[:3], bool)
        for v, view in enumerate(scene.VIEWS):
            for c, (pose, body) in enumerate(tubes):
                for k, (along, out) in enumerate(KEY_POINTS):
                    point = self._key_point(view, pose, along, out)
                    pixels[v, c, k] = self._pixel(view, point)
                    seen[v, c, k] = self._seen(view, point, pixels[v, c, k], body)
        flange = self._world.flange_pose
        return FrameSet(
            jpegs,
            pixels,
            seen,
            np.array([[*pose.position, *-pose.rotation[:, 2]] for pose, _ in tubes], np.float32),
            np.concatenate([flange.position, quaternion_from_matrix(flange.rotation)]),
        )

    def _joints(self, rng: np.random.Generator) -> np.ndarray:
        """Joint angles (6,) [rad] of a pose that an episode visits; poses out of reach are drawn again."""
        start = self._world.layout.start_joints_rad
        while True:
            kind = rng.random()
            if kind < START_SHARE:
                return start + rng.normal(0.0, 0.02, 6)
            try:
                return inverse(self._arm, self._tip(rng, start, kind) @ self._tool.inverse(), start)
            except NoSolution:
                continue

    def _tip(self, rng: np.random.Generator, start: np.ndarray, kind: float) -> Pose:
        """Needle tip on the way to a tube (kind below the shares) or on the axis of one."""
        first = forward(self._arm, start) @ self._tool
        tube = self._world.tube_pose(int(rng.integers(scene.TUBE_COUNT)))
        axis = -tube.rotation[:, 2]
        if kind < START_SHARE + WAY_SHARE:
            standoff = Pose(tube.position - STANDOFF_M * axis, aligned(first, axis))
            pose = interpolate(first, standoff, rng.random())
            away, tilt = WAY_POSITION_SIGMA_M, WAY_TILT_SIGMA_RAD
        else:
            depth = rng.uniform(-STANDOFF_M, INSIDE_M)
            pose = Pose(tube.position + depth * axis, aligned(first, axis))
            away, tilt = (NEAR_POSITION_SIGMA_M, NEAR_TILT_SIGMA_RAD) if depth < 0.0 else (0.0003, 0.005)
        return Pose(pose.position + rng.normal(0.0, away, 3), exp_so3(rng.normal(0.0, tilt, 3)) @ pose.rotation)

    def _tube(self, index: int) -> tuple[Pose, int]:
        """Pose of a tube's mouth (+z out of it) in the shown state, and its body."""
        data, body = self._scene.data, self._scene.model.body(f"tube{index}").id
        return Pose(data.xpos[body].copy(), data.xmat[body].reshape(3, 3).copy()), int(body)

    def _key_point(self, view: str, tube: Pose, along: float, out: float) -> np.ndarray:
        """Point (3,) `along` [m] behind the mouth and `out` [m] off the axis on the side that faces the camera."""
        outward = tube.rotation[:, 2]
        to_camera = self._scene.data.cam_xpos[self._scene.camera_id(view)] - tube.position
        across = to_camera - (to_camera @ outward) * outward
        return tube.position - along * outward + out * across / max(float(np.linalg.norm(across)), 1e-9)

    def _pixel(self, view: str, point: np.ndarray) -> np.ndarray:
        """u v (2,) of a point (3,) [m] in the camera as it really stands, which a calibration may not know."""
        data, camera = self._scene.data, self._scene.camera_id(view)
        x, y, z = data.cam_xmat[camera].reshape(3, 3).T @ (point - data.cam_xpos[camera])
        focal = 0.5 * scene.IMAGE_HEIGHT / np.tan(0.5 * np.radians(self._scene.model.cam_fovy[camera]))
        if z > -1e-3:  # MuJoCo's cameras look along -z
            return np.full(2, np.nan)
        return np.array([(scene.IMAGE_WIDTH - 1) / 2.0 - focal * x / z, (scene.IMAGE_HEIGHT - 1) / 2.0 + focal * y / z])

    def _seen(self, view: str, point: np.ndarray, pixel: np.ndarray, body: int) -> bool:
        """Whether a point of a tube is in the picture with nothing before it."""
        if not (0.0 <= pixel[0] <= scene.IMAGE_WIDTH - 1 and 0.0 <= pixel[1] <= scene.IMAGE_HEIGHT - 1):
            return False
        origin = self._scene.data.cam_xpos[self._scene.camera_id(view)]
        ray = point - origin
        distance = float(np.linalg.norm(ray))
        geom = np.full(1, -1, np.int32)
        hit = mujoco.mj_ray(
            self._scene.model, self._scene.data, origin, ray / distance, scene.VISIBLE_GROUPS, 1, -1, geom
        )  # fmt: skip
        own = geom[0] >= 0 and self._scene.model.geom_bodyid[geom[0]] == body
        return bool(own and abs(hit - distance) < SEEN_WITHIN_M)


def _jpeg(rgb: np.ndarray) -> bytes:
    good, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good:
        raise ValueError(f"expected a picture that JPEG can hold, got shape {rgb.shape}")
    return bytes(data.tobytes())
