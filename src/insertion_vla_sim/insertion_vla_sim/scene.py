"""The scene as one MuJoCo model: Meca500-class arm, needle, spring-mounted eye phantom, tubes, table, cameras.

The model is compiled once. A seed only edits numbers of the compiled model (`randomise.py`), so a reset is cheap.
Visible geoms are in group 0 and never collide; collision geoms are in group 3 and are never drawn. A tube is a solid
coloured barrel to the eye and a hollow ring of staves to the needle.
"""

from __future__ import annotations

import math
from functools import cache

import mujoco
import numpy as np
from numpy.typing import ArrayLike

PHYSICS_DT_S = 1.0 / 1300.0
STEPS_PER_SAMPLE = 2
SAMPLE_RATE_HZ = 650.0

COLOURS = ("red", "green", "blue")
TUBE_RGB = {"red": (0.85, 0.08, 0.08), "green": (0.06, 0.62, 0.12), "blue": (0.08, 0.18, 0.88)}
VISIBLE_GROUPS = np.array([1, 0, 0, 0, 0, 0], np.uint8)
COLLISION_GROUPS = np.array([0, 0, 0, 1, 0, 0], np.uint8)

EYE_RADIUS_M = 0.014
EYE_CENTRE_M = (0.18, 0.0, 0.045)
EYE_TILT_RAD = math.radians(-19.0)  # the tubes lean towards the robot: all three stay well inside its reach
TUBE_COUNT = 3
TUBE_POLAR_RAD = math.radians(20.0)
TUBE_AZIMUTH_RAD = tuple(math.radians(a) for a in (0.0, 120.0, 240.0))
TUBE_LENGTH_M = 0.012
TUBE_OUTER_RADIUS_M = 0.003
HOLE_RADIUS_M = 0.0015
STAVES = 12
MOUTH_FROM_EYE_M = EYE_RADIUS_M + TUBE_LENGTH_M

NEEDLE_RADIUS_M = 0.0005
TOOL_LENGTH_M = 0.10
NEEDLE_LENGTH_M = 0.045
DISTRACTORS = 5

IMAGE_WIDTH = 320
IMAGE_HEIGHT = 180
VIEWS = ("front", "side", "hand")
STATIC_CAMERA_FROM_EYE_M = {"front": (0.061, 0.073, 0.174), "side": (0.046, -0.083, 0.174)}
FOCUS_FROM_EYE_M = (-0.006, 0.0, 0.020)
STATIC_FOVY_DEG = 17.0

JOINT_LOWER_RAD = np.radians([-175.0, -70.0, -135.0, -170.0, -115.0, -180.0])
JOINT_UPPER_RAD = np.radians([175.0, 90.0, 70.0, 170.0, 115.0, 180.0])
START_JOINTS_RAD = np.radians([0.0, 21.4, -26.8, 0.0, 95.4, 0.0])  # needle down, tip at (0.165, 0, 0.14) m


def look_at(position: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Rotation (3,3) whose columns are MuJoCo camera axes (x right, y up, z backward) looking at `target`."""
    backward = np.asarray(position, float) - np.asarray(target, float)
    backward /= np.linalg.norm(backward)
    right = np.cross(np.asarray(up, float), backward)
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(backward, right), backward])


def tube_direction(index: int) -> np.ndarray:
    """Outward direction (3,) of tube `index` in the eye's frame."""
    azimuth = TUBE_AZIMUTH_RAD[index]
    sin_p = math.sin(TUBE_POLAR_RAD)
    return np.array([sin_p * math.cos(azimuth), sin_p * math.sin(azimuth), math.cos(TUBE_POLAR_RAD)])


def static_camera_positions() -> dict[str, np.ndarray]:
    """Where the static cameras stand in the base [m], before the held-out set shifts them."""
    eye = np.asarray(EYE_CENTRE_M)
    return {view: eye + offset for view, offset in STATIC_CAMERA_FROM_EYE_M.items()}


def _numbers(values: ArrayLike) -> str:
    return " ".join(f"{v:.9g}" for v in np.asarray(values, float).ravel())


def _camera(name: str, position: ArrayLike, target: ArrayLike, up: ArrayLike, fovy: float) -> str:
    axes = look_at(np.asarray(position), np.asarray(target), np.asarray(up))
    return (
        f'<camera name="{name}" pos="{_numbers(position)}" xyaxes="{_numbers(axes[:, 0])} {_numbers(axes[:, 1])}" '
        f'fovy="{fovy}" resolution="{IMAGE_WIDTH} {IMAGE_HEIGHT}"/>'
    )


def _tube(index: int) -> str:
    """One tube, its own z axis pointing out of the mouth, origin at the centre of the mouth."""
    direction = tube_direction(index)
    quat = np.zeros(4)
    mujoco.mju_quatZ2Vec(quat, direction)
    visible = 'class="visible" type="cylinder"'
    parts = [
        f'<body name="tube{index}" pos="{_numbers(direction * MOUTH_FROM_EYE_M)}" quat="{_numbers(quat)}">',
        # What the cameras see: barrel, painted ring, flange, dark mouth.
        f'<geom name="barrel{index}" {visible} size="{TUBE_OUTER_RADIUS_M} .00425" pos="0 0 -.00425"/>',
        f'<geom name="ring{index}" {visible} size=".0031 .001" pos="0 0 -.0095" rgba=".95 .95 .93 1"/>',
        f'<geom name="flange{index}" {visible} size=".0034 .001" pos="0 0 -.0115"/>',
        f'<geom name="mouth{index}" {visible} size="{HOLE_RADIUS_M} .0001" rgba=".02 .02 .02 1"/>',
    ]
    thickness = TUBE_OUTER_RADIUS_M - HOLE_RADIUS_M
    middle = HOLE_RADIUS_M + thickness / 2.0
    width = 2.0 * TUBE_OUTER_RADIUS_M * math.tan(math.pi / STAVES)
    size = _numbers([thickness / 2.0, width / 2.0, TUBE_LENGTH_M / 2.0])
    for k in range(STAVES):
        angle = 2.0 * math.pi * k / STAVES
        position = _numbers([middle * math.cos(angle), middle * math.sin(angle), -TUBE_LENGTH_M / 2.0])
        turn = _numbers([0.0, 0.0, math.degrees(angle)])
        parts.append(f'<geom class="collision" type="box" size="{size}" pos="{position}" euler="{turn}"/>')
    parts.append("</body>")
    return "\n".join(parts)


ARM_XML = f"""
<body name="link0">
  <geom class="shell" type="cylinder" size=".046 .012" pos="0 0 .012"/>
  <geom class="shell" type="cylinder" size=".040 .030" pos="0 0 .045"/>
  <body name="link1">
    <joint name="j1" axis="0 0 1"/>
    <inertial pos="0 0 .1" mass="1" diaginertia=".01 .01 .01"/>
    <geom class="shell" type="cylinder" size=".038 .024" pos="0 0 .096"/>
    <geom class="shell" type="capsule" size=".032" fromto="0 -.014 .135 0 .014 .135"/>
    <geom class="trim" type="cylinder" size=".026 .048" pos="0 0 .135" euler="90 0 0"/>
    <body name="link2" pos="0 0 .135">
      <joint name="j2" axis="0 1 0"/>
      <inertial pos="0 0 .06" mass="1" diaginertia=".01 .01 .01"/>
      <geom class="shell" type="capsule" size=".024" fromto="0 .020 .0 0 .020 .135"/>
      <geom class="shell" type="capsule" size=".024" fromto="0 -.020 .0 0 -.020 .135"/>
      <body name="link3" pos="0 0 .135">
        <joint name="j3" axis="0 1 0"/>
        <inertial pos="0 0 .03" mass="1" diaginertia=".01 .01 .01"/>
        <geom class="trim" type="cylinder" size=".025 .046" euler="90 0 0"/>
        <geom class="shell" type="capsule" size=".026" fromto="-.004 0 .020 .03 0 .038"/>
        <body name="link4" pos="0 0 .038">
          <joint name="j4" axis="1 0 0"/>
          <inertial pos=".05 0 0" mass=".5" diaginertia=".005 .005 .005"/>
          <geom class="trim" type="cylinder" size=".0235 .004" pos=".058 0 0" euler="0 90 0"/>
          <geom class="shell" type="capsule" size=".022" fromto=".066 0 0 .098 0 0"/>
          <geom class="shell" type="capsule" size=".015" fromto=".12 -.016 0 .12 .016 0"/>
          <body name="link5" pos=".12 0 0">
            <joint name="j5" axis="0 1 0"/>
            <inertial pos="0 0 0" mass=".2" diaginertia=".001 .001 .001"/>
            <geom class="trim" type="cylinder" size=".0125 .0235" euler="90 0 0"/>
            <geom class="shell" type="capsule" size=".0135" fromto="0 0 0 .036 0 0"/>
            <body name="link6" pos=".07 0 0" euler="0 90 0">
              <joint name="j6" axis="0 0 1"/>
              <inertial pos="0 0 0" mass=".1" diaginertia=".001 .001 .001"/>
              <geom class="trim" type="cylinder" size=".0125 .005" pos="0 0 -.006"/>
              <geom class="shell" type="cylinder" size=".010 .0025" pos="0 0 .0015"/>
              <geom class="trim" type="box" size=".021 .007 .0025" pos=".020 0 .0065"/>
              <geom class="trim" type="box" size=".006 .009 .006" pos=".046 0 .006"/>
              <camera_hand/>
              <body name="needle" pos="0 0 {TOOL_LENGTH_M}">
                <geom class="visible" type="cylinder" size=".0055 .010" pos="0 0 -.082" rgba=".20 .21 .23 1"/>
                <geom class="visible" type="cylinder" size=".0036 .009" pos="0 0 -.064" rgba=".90 .62 .15 1"/>
                <geom class="visible" type="capsule" size=".0020" fromto="0 0 -.056 0 0 -{NEEDLE_LENGTH_M}"
                      rgba=".70 .72 .75 1"/>
                <geom class="visible" type="capsule" size="{NEEDLE_RADIUS_M}"
                      fromto="0 0 -{NEEDLE_LENGTH_M} 0 0 -{NEEDLE_RADIUS_M}" rgba=".92 .93 .95 1"/>
                <geom class="collision" type="capsule" size="{NEEDLE_RADIUS_M}"
                      fromto="0 0 -{NEEDLE_LENGTH_M} 0 0 -{NEEDLE_RADIUS_M}" contype="1" conaffinity="0"/>
                <geom class="collision" type="capsule" size=".0036"
                      fromto="0 0 -.075 0 0 -.056" contype="1" conaffinity="0"/>
                <site name="tip" group="4" size=".0005"/>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </body>
</body>
"""


def build_xml() -> str:
    """MJCF of the scene before any randomisation."""
    hand = _camera("hand", (0.050, 0.0, 0.016), (0.0, 0.0, TOOL_LENGTH_M + 0.030), (-1.0, 0.0, 0.0), 36.0)
    eye = np.asarray(EYE_CENTRE_M)
    focus = eye + FOCUS_FROM_EYE_M
    static = static_camera_positions()
    front, side = (_camera(view, static[view], focus, (0, 0, 1), STATIC_FOVY_DEG) for view in ("front", "side"))
    tubes = "\n".join(_tube(i) for i in range(TUBE_COUNT))
    distractors = "\n".join(
        f'<body name="distractor{i}"><geom name="distractor{i}" class="visible" type="{kind}" size="{size}"/></body>'
        for i, (kind, size) in enumerate(
            [
                ("box", ".009 .006 .005"),
                ("cylinder", ".006 .007"),
                ("sphere", ".007"),
                ("capsule", ".004 .007"),
                ("box", ".012 .004 .003"),
            ]
        )
    )
    # Each joint of the mount is a soft, damped spring: a wrong push moves the eye instead of bending the needle.
    springs = "\n".join(
        [f'<joint name="slide_{n}" type="slide" axis="{a}" stiffness="1000" damping="10"/>' for n, a in AXES]
        + [f'<joint name="tilt_{n}" type="hinge" axis="{a}" stiffness="0.5" damping="0.0032"/>' for n, a in AXES]
    )
    return f"""
<mujoco model="insertion">
  <compiler angle="degree" autolimits="true"/>
  <option timestep="{PHYSICS_DT_S!r}" gravity="0 0 0" integrator="Euler" cone="pyramidal" solver="Newton"
          iterations="20" tolerance="1e-8"/>
  <visual>
    <headlight ambient=".32 .32 .34" diffuse=".18 .18 .18" specular="0 0 0"/>
    <global offwidth="{IMAGE_WIDTH}" offheight="{IMAGE_HEIGHT}"/>
    <quality shadowsize="2048"/>
    <map znear="0.002" zfar="6"/>
  </visual>
  <statistic center="{_numbers(EYE_CENTRE_M)}" extent="0.4"/>
  <default>
    <!-- The arm follows its commanded joint rates; the large armature makes it immovable for the contact solver. -->
    <joint armature="1000"/>
    <default class="visible"><geom group="0" contype="0" conaffinity="0" mass="0"/></default>
    <default class="shell"><geom group="0" contype="0" conaffinity="0" mass="0" rgba=".83 .84 .86 1"/></default>
    <default class="trim"><geom group="0" contype="0" conaffinity="0" mass="0" rgba=".17 .18 .20 1"/></default>
    <default class="collision">
      <geom group="3" contype="0" conaffinity="1" mass="0" friction=".25 .001 .0001" solref=".004 1" condim="3"/>
    </default>
    <default class="spring"><joint armature="0"/></default>
  </default>
  <worldbody>
    <light name="lamp" pos=".25 -.25 .7" dir="-.1 .3 -1" diffuse=".72 .71 .68" specular=".2 .2 .2" castshadow="true"/>
    <geom name="table" class="visible" type="plane" size="2 2 .1" rgba=".62 .60 .56 1"/>
    <geom name="mat" class="visible" type="box" size=".075 .075 .001" pos="{eye[0]} 0 0.0005" rgba=".30 .33 .36 1"/>
    {front}
    {side}
    {ARM_XML.replace("<camera_hand/>", hand)}
    {distractors}
    <body name="stand" pos="{_numbers(eye)}">
      <geom class="visible" type="cylinder" size=".007 .024" pos="0 0 -.034" rgba=".25 .26 .28 1"/>
      <geom class="visible" type="cylinder" size=".018 .003" pos="0 0 -.0415" rgba=".25 .26 .28 1"/>
    </body>
    <body name="mount" pos="{_numbers(eye)}">
      <body name="eye" childclass="spring">
        {springs}
        <inertial pos="0 0 0" mass=".05" diaginertia="1e-5 1e-5 1e-5"/>
        <geom name="sclera" class="visible" type="sphere" size="{EYE_RADIUS_M}" rgba=".93 .90 .87 1"/>
        <geom name="cup" class="visible" type="cylinder" size=".0142 .003" pos="0 0 -.0075" rgba=".35 .36 .38 1"/>
        <body name="gaze" euler="0 62 0">
          <geom name="iris" class="visible" type="ellipsoid" size=".0058 .0058 .0020" pos="0 0 .0125"/>
          <geom name="pupil" class="visible" type="ellipsoid" size=".0026 .0026 .0008" pos="0 0 .0140"
                rgba=".03 .03 .03 1"/>
        </body>
        <geom name="eyeball" class="collision" type="sphere" size="{EYE_RADIUS_M}"/>
        {tubes}
      </body>
    </body>
  </worldbody>
  <sensor><force name="needle_force" site="tip"/></sensor>
</mujoco>
"""


AXES = (("x", "1 0 0"), ("y", "0 1 0"), ("z", "0 0 1"))


@cache
def scene_xml() -> str:
    """The MJCF text, the same for every seed."""
    return build_xml()
