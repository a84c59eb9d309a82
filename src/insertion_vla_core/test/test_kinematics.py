import csv
import math
import time
from pathlib import Path

import numpy as np
import pytest
from insertion_vla_core.geometry import Pose, exp_so3, pose_delta, pose_from_mm_deg
from insertion_vla_core.kinematics import (
    NoSolution,
    forward,
    inverse,
    jacobian,
    joint_frames,
    load_arm,
    twist_to_joint_rates,
)

DATA = Path(__file__).parent / "data"
TOOL = Pose(np.array([0.0, 0.0, 0.1]), np.eye(3))
ARMS = {name: load_arm(path) for name, path in [("meca500", "meca500"), ("ur5e", DATA / "ur5e.yaml")]}
ALL_ARMS = {**ARMS, "panda": load_arm(DATA / "panda.yaml")}


def random_joints(arm, rng):
    return rng.uniform(np.maximum(arm.lower_rad, -math.pi), np.minimum(arm.upper_rad, math.pi))


def inside(arm, q):
    return bool((q >= arm.lower_rad).all() and (q <= arm.upper_rad).all())


def test_meca500_forward_kinematics_agree_with_every_row_of_a_real_log():
    with open(DATA / "meca500_session.csv") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert len(rows) == 1560
    arm = ARMS["meca500"]
    position_mm, rotation_deg = [], []
    for row in rows:
        q = np.radians([row[f"joint_{i}_deg"] for i in range(1, 7)])
        names = ("x_mm", "y_mm", "z_mm", "alpha_deg", "beta_deg", "gamma_deg")
        delta = pose_delta(pose_from_mm_deg([row[name] for name in names]), forward(arm, q))
        position_mm.append(np.linalg.norm(delta[:3]) * 1e3)
        rotation_deg.append(math.degrees(np.linalg.norm(delta[3:])))
    assert max(position_mm) <= 0.03
    assert max(rotation_deg) <= 0.02
    assert np.median(position_mm) <= 0.003


def test_ur5e_table_gives_the_published_zero_pose():
    pose = forward(ARMS["ur5e"], np.zeros(6))
    np.testing.assert_allclose(pose.position, [-0.425 - 0.3922, -0.1333 - 0.0996, 0.1625 - 0.0997], atol=1e-12)


def test_modified_tables_give_the_published_panda_pose():
    q = [0, -math.pi / 4, 0, -3 * math.pi / 4, 0, math.pi / 2, math.pi / 4]
    pose = forward(ALL_ARMS["panda"], q)
    np.testing.assert_allclose(pose.position, [0.3069, 0.0, 0.5903], atol=2e-4)
    np.testing.assert_allclose(pose.rotation @ [0, 0, 1], [0, 0, -1], atol=1e-12)


def test_the_last_joint_frame_is_the_flange():
    arm = ARMS["meca500"]
    q = np.array([0.1, 0.2, -0.3, 0.4, 0.5, 0.6])
    frames = joint_frames(arm, q)
    assert len(frames) == 6
    np.testing.assert_allclose(pose_delta(frames[-1], forward(arm, q)), 0.0, atol=1e-15)


@pytest.mark.parametrize("arm", ALL_ARMS.values(), ids=ALL_ARMS)
@pytest.mark.parametrize("tool", [None, TOOL], ids=["flange", "tool"])
def test_jacobian_is_the_derivative_of_forward(arm, tool):
    rng = np.random.default_rng(3)
    step = 1e-6
    for _ in range(10):
        q = random_joints(arm, rng)
        matrix = jacobian(arm, q, tool)
        assert matrix.shape == (6, len(q))
        for joint in range(len(q)):
            moved = q.copy()
            moved[joint] += step
            before, after = (forward(arm, x) @ (tool or Pose.identity()) for x in (q, moved))
            np.testing.assert_allclose(matrix[:, joint], pose_delta(before, after) / step, atol=5e-6)


@pytest.mark.parametrize("arm", ALL_ARMS.values(), ids=ALL_ARMS)
@pytest.mark.parametrize("spread", [0.05, 0.3, None], ids=["near", "far", "anywhere"])
def test_inverse_finds_joints_for_every_pose_that_the_arm_can_take(arm, spread):
    rng = np.random.default_rng(7)
    for _ in range(100):
        q = random_joints(arm, rng)
        target = forward(arm, q)
        seed = random_joints(arm, rng) if spread is None else q + rng.normal(0.0, spread, len(q))
        found = inverse(arm, target, seed)
        assert inside(arm, found)
        assert np.abs(pose_delta(target, forward(arm, found))).max() < 1.1e-7


def test_inverse_stays_on_the_branch_of_the_seed():
    arm = ARMS["meca500"]
    q = np.array([0.2, 0.3, -0.2, 0.5, 0.9, -0.4])
    path = [forward(arm, q + s * np.array([0.1, 0.2, -0.1, 0.3, -0.2, 0.1])) for s in np.linspace(0, 1, 50)]
    for target in path:
        found = inverse(arm, target, q)
        assert np.abs(found - q).max() < 0.05
        q = found


def test_inverse_from_a_near_seed_is_fast():
    arm = ARMS["meca500"]
    rng = np.random.default_rng(5)
    times = []
    for _ in range(100):
        q = rng.uniform(arm.lower_rad, arm.upper_rad)
        target = forward(arm, q)
        start = time.perf_counter()
        inverse(arm, target, q + rng.normal(0.0, 0.05, 6))
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.003  # measured 0.15 ms; the margin is for busy machines


def test_inverse_refuses_what_is_out_of_reach_at_once():
    arm = ARMS["meca500"]
    with pytest.raises(NoSolution, match=r"2\.000 m from the base, meca500 reaches"):
        inverse(arm, Pose(np.array([2.0, 0.0, 0.0]), np.eye(3)), np.zeros(6))


def test_inverse_refuses_poses_inside_the_reach_that_the_joint_ranges_exclude():
    arm = ARMS["meca500"]
    with pytest.raises(NoSolution, match="joint ranges"):
        inverse(arm, Pose(np.array([0.0, 0.0, 0.05]), np.eye(3)), np.zeros(6))


def test_inverse_refuses_numbers_that_are_not_finite():
    with pytest.raises(NoSolution, match="NaN"):
        inverse(ARMS["meca500"], Pose(np.array([math.nan, 0, 0.2]), np.eye(3)), np.zeros(6))


def test_inverse_reaches_the_pose_at_which_the_lab_starts():
    arm = ARMS["meca500"]  # joint 5 is at 0.68 degrees: next to the wrist singularity
    q = np.radians([0.4775, 0.1382, -0.6165, -44.9509, 0.6758, 45.9489])
    found = inverse(arm, forward(arm, q), np.radians([0, 0, 0, 0, 5, 0]))
    assert np.abs(pose_delta(forward(arm, q), forward(arm, found))).max() < 1.1e-7


def test_equal_calls_give_equal_answers():
    arm = ARMS["meca500"]
    rng = np.random.default_rng(11)
    for _ in range(20):  # far enough that some need another start than the seed
        target = forward(arm, random_joints(arm, rng))
        assert np.array_equal(inverse(arm, target, np.zeros(6)), inverse(arm, target, np.zeros(6)))


def test_joint_rates_give_the_twist_at_the_tool_point():
    arm = ARMS["meca500"]
    q = np.array([0.2, 0.3, -0.2, 0.5, 0.9, -0.4])
    twist = np.array([0.01, -0.02, 0.005, 0.1, -0.05, 0.2])
    rates = twist_to_joint_rates(arm, q, twist, TOOL)
    step = 1e-6
    moved = pose_delta(forward(arm, q) @ TOOL, forward(arm, q + rates * step) @ TOOL) / step
    np.testing.assert_allclose(moved, twist, atol=1e-6)


def test_joint_rates_at_a_singularity_are_refused_not_bent():
    arm = ARMS["meca500"]
    q = np.array([0.0, 0.3, -0.2, 0.0, 0.0, 0.0])  # axes of joints 4 and 6 coincide
    with pytest.raises(NoSolution, match="singular"):
        twist_to_joint_rates(arm, q, [0, 0, 0, 0, 0, 0.1] @ np.kron(np.eye(2), exp_so3([0.0, -0.1, 0.0]).T))
    damped = twist_to_joint_rates(arm, q, [0, 0, 0, 0, 0, 0.1], damping=0.01)
    assert np.isfinite(damped).all() and np.abs(damped).max() < 50.0


def arm_file(tmp_path, **changes):
    text = (DATA / "ur5e.yaml").read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "arm.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("range_deg", "rnage_deg"), "did you mean 'range_deg'"),
        (("d_m: 0.1625, ", ""), r"'joints\.0\.d_m' is missing"),
        (("[-360, 360]", "[360, -360]"), "lowest, highest"),
        (("speed_deg_s: 180", "speed_deg_s: 0"), r"'joints\.0\.speed_deg_s'.*greater than 0, got 0"),
        (("d_m: 0.1625", "d_m: .nan"), r"'joints\.0\.d_m'.*finite"),
        (("d_m: 0.1625", "d_m: 1e-1x"), r"'joints\.0\.d_m'.*got '1e-1x'"),
        (("name: ur5e", "name: ur5e\nname: ur5"), "line 2: the key 'name' stands there twice"),
        (("convention: standard", "convention: craig"), "convention.*got 'craig'"),
        (("joints:", "joints: ["), "no valid YAML"),
    ],
)
def test_wrong_entries_of_an_arm_file_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_arm(arm_file(tmp_path, change=change))


def test_an_unknown_arm_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"shipped arm \(meca500\).*got 'meca5000'"):
        load_arm("meca5000")
    with pytest.raises(ValueError, match="could not read"):
        load_arm(tmp_path / "none.yaml")
