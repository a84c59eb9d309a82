"""The simulated lab bench: an arm that follows joint rates, a needle, a soft eye with three tubes and membranes."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from insertion_vla_core.geometry import Pose

from insertion_vla_sim import scene
from insertion_vla_sim.randomise import RANDOMISATIONS, Layout, Randomisation, apply_layout, draw_layout
from insertion_vla_sim.truth import TouchedTube, Truth

ARM_JOINTS = 6
# Meca500-class: 20 mm/s at the tip stops in about 15 ms.
JOINT_ACCELERATION_RAD_S2 = np.array([30.0, 30.0, 30.0, 60.0, 60.0, 60.0])
JOINT_SPEED_RAD_S = np.radians([150.0, 150.0, 180.0, 300.0, 300.0, 500.0])
BRAKING = 1.8 * JOINT_ACCELERATION_RAD_S2  # a little below the full 2 a of v^2 = 2 a s, for the discrete steps
BRAKING_WAY_RAD = JOINT_SPEED_RAD_S**2 / BRAKING  # from full speed
MEMBRANE_STIFFNESS_N_M = 700.0
RENDER_STATE_SIZE = 3 + ARM_JOINTS + 6
SAMPLE_S = 1.0 / scene.SAMPLE_RATE_HZ
SPEED_STEP_RAD_S = JOINT_ACCELERATION_RAD_S2 * SAMPLE_S
FREE_LOWER_RAD = scene.JOINT_LOWER_RAD + BRAKING_WAY_RAD  # between these only the top speed limits a joint
FREE_UPPER_RAD = scene.JOINT_UPPER_RAD - BRAKING_WAY_RAD


class World:
    """One seeded episode of the bench, advanced in steps of 1/650 s by joint rates.

    The arm is kinematic: it follows the commanded rates within its acceleration and never yields. The eye is dynamic.
    """

    def __init__(self, seed: int = 0, randomisation: Randomisation = "train") -> None:
        self.randomisation: Randomisation = randomisation
        self.xml = scene.scene_xml()
        self.model = mujoco.MjModel.from_xml_string(self.xml)
        self.data = mujoco.MjData(self.model)
        self._needle = self.model.body("needle").id
        self._flange = self.model.body("link6").id
        self._eye = self.model.body("eye").id
        self._tip = self.model.site("tip").id
        self._tubes = [self.model.body(f"tube{i}").id for i in range(scene.TUBE_COUNT)]
        # Views into MuJoCo's arrays: always as of now, not to be written to or kept.
        self.tip_position, self.eye_centre = self.data.site_xpos[self._tip], self.data.xipos[self._eye]
        self.tip_forward = self.data.site_xmat[self._tip].reshape(3, 3)[:, 2]
        self._push, self._arm_q, self._arm_dq = (
            self.data.xfrc_applied[self._eye], self.data.qpos[:ARM_JOINTS], self.data.qvel[:ARM_JOINTS]
        )  # fmt: skip
        self.layout: Layout
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Start the episode of `seed`: same seed, same episode, bit for bit."""
        self.layout = draw_layout(seed, self.randomisation)
        apply_layout(self.model, self.layout)
        mujoco.mj_resetData(self.model, self.data)
        self._sample = 0
        self._q = self.layout.start_joints_rad.copy()
        self._dq = np.zeros(ARM_JOINTS)
        self.axial_force_n = 0.0
        self._peak_force_n = 0.0
        self._touched = [TouchedTube() for _ in self._tubes]
        self._write_arm()
        mujoco.mj_forward(self.model, self.data)

    def place(self, joints: np.ndarray) -> None:
        """Put the arm at joint angles (6,) [rad], at rest, without moving there; nothing else changes.

        Raises:
            ValueError: not six finite numbers.
        """
        joints = np.asarray(joints, float)
        if joints.shape != (ARM_JOINTS,) or not np.isfinite(joints).all():
            raise ValueError(f"joints must be six finite angles [rad], got {joints!r}")
        self._q, self._dq = joints.copy(), np.zeros(ARM_JOINTS)
        self._write_arm()
        mujoco.mj_kinematics(self.model, self.data)

    def step(self, dq_command: np.ndarray) -> None:
        """Advance 1/650 s.

        Args:
            dq_command: (6,) commanded joint rates [rad/s], followed within the joints' acceleration and speed.

        Raises:
            ValueError: not six finite numbers.
        """
        command = np.asarray(dq_command, float)
        if command.shape != (ARM_JOINTS,) or not np.isfinite(command).all():
            raise ValueError(f"dq_command must be six finite joint rates [rad/s], got {dq_command!r}")
        self._follow(command)
        model, data = self.model, self.data
        for _ in range(scene.STEPS_PER_SAMPLE):
            self._write_arm()
            mujoco.mj_step(model, data)
            self._q += self._dq * scene.PHYSICS_DT_S
        self._arm_q[:] = self._q
        mujoco.mj_kinematics(model, data)
        self._sample += 1
        membrane = self._press_membranes()
        self.axial_force_n = float(data.sensordata[2]) + membrane
        self._peak_force_n = max(self._peak_force_n, self.axial_force_n)

    def _follow(self, command: np.ndarray) -> None:
        """Move the joint rates towards the command, all joints together so that the tip keeps its direction."""
        up = down = JOINT_SPEED_RAD_S
        if ((FREE_LOWER_RAD <= self._q) & (self._q <= FREE_UPPER_RAD)).all():
            if (command == self._dq).all():
                return  # reached, as in most steps between two commands
        else:
            # Never faster than it can still brake before the end of its range.
            down = np.minimum(np.sqrt(BRAKING * np.maximum(self._q - scene.JOINT_LOWER_RAD, 0.0)), down)
            up = np.minimum(np.sqrt(BRAKING * np.maximum(scene.JOINT_UPPER_RAD - self._q, 0.0)), up)
        change = np.maximum(np.minimum(command, up), -down) - self._dq
        excess = float((np.abs(change) / SPEED_STEP_RAD_S).max())
        self._dq = self._dq + change / max(excess, 1.0)

    def _write_arm(self) -> None:
        self._arm_q[:] = self._q
        self._arm_dq[:] = self._dq

    def _press_membranes(self) -> float:
        """Apply the membranes' springs between eye and needle; returns the axial force on the needle [N]."""
        data = self.data
        push = self._push
        push[:] = 0.0
        tip = self.tip_position
        lever = tip - self.eye_centre
        if lever @ lever > scene.MOUTH_FROM_EYE_M**2:
            return 0.0  # outside all tubes, as most of the time
        axial = 0.0
        for i, body in enumerate(self._tubes):
            rotation = data.xmat[body].reshape(3, 3)
            x, y, z = ((tip - data.xpos[body]) @ rotation).tolist()
            overshoot = -z - float(self.layout.membrane_depth_m[i])
            if not 0.0 < overshoot <= scene.TUBE_LENGTH_M or x * x + y * y > scene.HOLE_RADIUS_M**2:
                continue
            self._touched[i].update(overshoot)
            force = -MEMBRANE_STIFFNESS_N_M * overshoot * rotation[:, 2]
            push[:3] += force
            push[3:] += np.cross(lever, force)
            axial += float(force @ data.site_xmat[self._tip].reshape(3, 3)[:, 2])
        return axial

    @property
    def time_s(self) -> float:
        """Simulated time since the reset [s]."""
        return self._sample / scene.SAMPLE_RATE_HZ

    @property
    def q(self) -> np.ndarray:
        """Joint angles (6,) [rad]."""
        return self._q.copy()

    @property
    def dq(self) -> np.ndarray:
        """Joint rates (6,) [rad/s]."""
        return self._dq.copy()

    @property
    def tool_pose(self) -> Pose:
        """Needle tip in the base: +z out of the tip."""
        return Pose(self.data.site_xpos[self._tip].copy(), self.data.site_xmat[self._tip].reshape(3, 3).copy())

    @property
    def tube_frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Mouths (3,3) of all tubes [m] and their rotations (3,3,3), as `tube_pose`."""
        return self.data.xpos[self._tubes], self.data.xmat[self._tubes].reshape(-1, 3, 3)

    @property
    def flange_pose(self) -> Pose:
        """Flange in the base."""
        return Pose(self.data.xpos[self._flange].copy(), self.data.xmat[self._flange].reshape(3, 3).copy())

    @property
    def needle_body(self) -> int:
        """MuJoCo id of the needle's body, for ray casts that must not see the needle."""
        return self._needle

    def tube_pose(self, index: int) -> Pose:
        """Mouth of a tube in the base: +z out of the mouth."""
        body = self._tubes[index]
        return Pose(self.data.xpos[body].copy(), self.data.xmat[body].reshape(3, 3).copy())

    def truth(self, target: str | None = None) -> Truth:
        """Privileged state now, for a target colour (the seed's own by default)."""
        return Truth.measure(
            self.layout,
            [self.tube_pose(i) for i in range(scene.TUBE_COUNT)],
            self.tool_pose.position,
            self._touched,
            target=target or self.layout.target,
            time_s=self.time_s,
            force_n=self.axial_force_n,
            peak_force_n=self._peak_force_n,
        )

    def render_state(self) -> np.ndarray:
        """All a renderer needs, (15,) f64: time [s], seed, set, joint positions of arm and eye."""
        head = (self.time_s, self.layout.seed, RANDOMISATIONS.index(self.randomisation))
        return np.concatenate([head, self.data.qpos])


@dataclass(frozen=True)
class RenderState:
    """The decoded form of `World.render_state`."""

    time_s: float
    seed: int
    randomisation: Randomisation
    qpos: np.ndarray

    @staticmethod
    def decode(state: np.ndarray) -> RenderState:
        """Raises ValueError when the array is not what `World.render_state` returns."""
        state = np.asarray(state, float)
        if state.shape != (RENDER_STATE_SIZE,) or not np.isfinite(state).all():
            raise ValueError(f"expected a render state of {RENDER_STATE_SIZE} finite numbers, got shape {state.shape}")
        return RenderState(float(state[0]), int(state[1]), RANDOMISATIONS[int(state[2])], state[3:].copy())
