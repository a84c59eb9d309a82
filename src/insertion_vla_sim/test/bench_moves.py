"""Poses and motions that the tests of the bench share."""

import numpy as np
from insertion_vla_core.geometry import Pose, exp_so3
from insertion_vla_core.kinematics import inverse, load_arm, twist_to_joint_rates
from insertion_vla_sim.expert_motion import aligned
from insertion_vla_sim.world import World

from insertion_vla_sim import scene

ARM = load_arm("meca500")
TOOL = Pose(np.array([0.0, 0.0, scene.TOOL_LENGTH_M]), np.eye(3))


def place(world: World, tip: Pose) -> None:
    """Put the needle tip at a pose, at rest."""
    world.place(inverse(ARM, tip @ TOOL.inverse(), world.q))


def before_tube(world: World, tube: int, depth: float, sideways: float = 0.0, tilt: float = 0.0) -> Pose:
    """A tip pose at a depth [m] behind a tube's mouth, off its axis by `sideways` [m] and tilted [rad]."""
    mouth = world.tube_pose(tube)
    axis = -mouth.rotation[:, 2]
    rotation = exp_so3(tilt * mouth.rotation[:, 1]) @ aligned(world.tool_pose, axis)
    return Pose(mouth.position + depth * axis + sideways * mouth.rotation[:, 0], rotation)


def advance(world: World, distance: float, speed: float) -> np.ndarray:
    """Move along the needle; the axial force at each sample (n,) [N]."""
    forces = []
    direction = world.tool_pose.rotation[:, 2]
    for _ in range(round(distance / speed * scene.SAMPLE_RATE_HZ)):
        twist = np.concatenate([direction * speed, np.zeros(3)])
        world.step(twist_to_joint_rates(ARM, world.q, twist, TOOL))
        forces.append(world.axial_force_n)
    return np.array(forces)
