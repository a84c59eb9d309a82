"""Gate, executor and an ideal arm in closed loop: the tool follows a stream of chunks in spite of latency."""

import math

import numpy as np
import pytest
from gate_rig import ARM, LIMITS, TOOL, Reference, Rig, line
from insertion_vla_core.decision import State
from insertion_vla_core.geometry import Pose, exp_so3, pose_delta
from insertion_vla_core.kinematics import forward


def arc(start: Pose, radius_m: float, speed: float, turn_rate: float) -> Reference:
    """A circle through the start, in the plane of base x and y, while the needle turns slowly."""

    def pose(t: float) -> Pose:
        angle = speed * t / radius_m
        offset = np.array([math.sin(angle), 1.0 - math.cos(angle), 0.2 * math.sin(angle)]) * radius_m
        return Pose(start.position + offset, exp_so3([0.0, turn_rate * t, 0.0]) @ start.rotation)

    return pose


def off_path(rig: Rig, reference: Reference, joints: list[np.ndarray]) -> tuple[float, float]:
    """Largest distance [m] and angle [rad] of the tool from the nearest point of the reference."""
    times = np.arange(0.0, 6.0, 0.002)
    points = np.array([reference(float(t)).position for t in times])
    distance = angle = 0.0
    for q in joints[::5]:
        pose = forward(ARM, q) @ TOOL
        nearest = int(np.argmin(np.linalg.norm(points - pose.position, axis=1)))
        delta = pose_delta(reference(float(times[nearest])), pose)
        distance = max(distance, float(np.linalg.norm(delta[:3])))
        angle = max(angle, float(np.linalg.norm(delta[3:])))
    return distance, angle


@pytest.mark.parametrize("latency_s", [0.05, 0.1, 0.2])
def test_a_line_is_tracked_at_its_speed(latency_s: float) -> None:
    rig = Rig(latency_s=latency_s)
    rig.run(0.2)
    reference = line(rig.pose, [0.009, 0.009, -0.006], (0.0, 0.05, 0.0))
    rig.follow(reference)
    rig.run(0.5)
    before, first = rig.pose, len(rig.joints)
    rig.run(3.0)
    speed = np.linalg.norm(rig.pose.position - before.position) / 3.0
    distance, angle = off_path(rig, reference, rig.joints[first:])
    assert speed == pytest.approx(np.linalg.norm([0.009, 0.009, -0.006]), rel=0.01)
    assert distance < 5e-5 and angle < 1e-3
    assert not rig.rejections


@pytest.mark.parametrize("latency_s", [0.05, 0.1, 0.2])
def test_an_arc_is_tracked(latency_s: float) -> None:
    rig = Rig(latency_s=latency_s)
    rig.run(0.2)
    reference = arc(rig.pose, 0.03, 0.014, 0.06)
    rig.follow(reference)
    rig.run(4.0)
    distance, angle = off_path(rig, reference, rig.joints)
    assert distance < 1.5e-4 and angle < 3e-3
    assert rig.state is State.MOVING and not rig.rejections


def test_a_path_faster_than_the_limits_is_followed_slowly_along_the_same_line() -> None:
    rig = Rig()
    rig.run(0.2)
    reference = arc(rig.pose, 0.03, 0.035, 0.1)
    rig.follow(reference)
    rig.run(3.0)
    distance, angle = off_path(rig, reference, rig.joints)
    assert distance < 2e-4 and angle < 5e-3
    assert rig.state is State.SLOWED
    speeds = [float(np.linalg.norm(d.twist[:3])) for d in rig.decisions]
    assert max(speeds) <= LIMITS.free_speed * (1 + 1e-9) and np.mean(speeds[-100:]) > 0.98 * LIMITS.free_speed


def test_the_first_chunk_starts_gently_from_rest() -> None:
    rig = Rig(latency_s=0.2)
    rig.run(0.5)
    rig.follow(line(rig.pose, [0.015, 0.0, 0.0]))
    rig.run(1.0)
    speeds = np.array([np.linalg.norm(d.twist[:3]) for d in rig.decisions])
    assert np.diff(speeds).max() <= LIMITS.linear_acceleration * 0.01 * 1.001
    assert speeds.max() < 0.015 * 1.3  # no rush to catch up with the latency


def test_after_a_hold_a_late_chunk_sets_in_where_the_tool_stands() -> None:
    rig = Rig(latency_s=0.3)
    rig.permit = False
    rig.follow(line(rig.pose, [0.015, 0.0, 0.0]))
    rig.run(0.5)
    rig.permit = True
    rig.run(0.3)
    speeds = [float(np.linalg.norm(d.twist[:3])) for d in rig.decisions]
    assert 0.0145 < max(speeds) < 0.0165


def test_a_push_aside_is_brought_back() -> None:
    rig = Rig()
    rig.run(0.2)
    reference = line(rig.pose, [0.0, 0.0, -0.0015])
    rig.aux = 1.0
    rig.follow(reference)
    rig.run(0.5)
    rig.push([0.0009, 0.0, 0.0])
    pushed = len(rig.joints)
    rig.run(2.0)
    distance, _ = off_path(rig, reference, rig.joints[pushed + 150 :])
    assert distance < 5e-5
    assert rig.state in (State.MOVING, State.SLOWED)


def test_chunks_that_come_twice_as_slowly_are_still_followed_smoothly() -> None:
    rig = Rig(latency_s=0.2)
    rig.run(0.2)
    rig.follow(line(rig.pose, [0.012, 0.0, 0.0]))
    for _ in range(30):
        rig.expert_alive = rig.cycle % 20 == 9
        rig.tick()
    for _ in range(300):
        rig.expert_alive = (rig.cycle + 1) % 20 == 0
        rig.tick()
    speeds = np.array([np.linalg.norm(d.twist[:3]) for d in rig.decisions[-200:]])
    assert speeds.min() > 0.010 and speeds.max() < 0.015
