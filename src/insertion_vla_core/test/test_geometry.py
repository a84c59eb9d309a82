import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.geometry import (
    Pose,
    apply_delta,
    exp_so3,
    interpolate,
    log_so3,
    matrix_from_mobile_xyz,
    matrix_from_quaternion,
    mobile_xyz_from_matrix,
    pose_delta,
    pose_from_mm_deg,
    pose_to_mm_deg,
    quaternion_from_matrix,
)

unit = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1).map(lambda v: v / np.linalg.norm(v))
angle = st.one_of(
    st.floats(0.0, math.pi),
    st.floats(1e-15, 1.0).map(lambda x: math.pi - x * 1e-3),
    st.floats(-18.0, -1.0).map(lambda x: 10.0**x),
    st.sampled_from([0.0, math.pi]),
)
vector = st.builds(lambda a, u: a * u, angle, unit)
rotation = vector.map(exp_so3)
position = st.tuples(*[st.floats(-2.0, 2.0)] * 3).map(np.array)
pose = st.builds(Pose, position, rotation)


def close(a: Pose, b: Pose, tolerance: float = 1e-12) -> bool:
    return bool(np.abs(pose_delta(a, b)).max() < tolerance)


@given(vector)
def test_exponential_gives_proper_rotations(r):
    matrix = exp_so3(r)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(matrix @ r, r, atol=1e-14)  # the axis stays


@given(vector)
def test_logarithm_undoes_the_exponential_also_near_zero_and_pi(r):
    back = log_so3(exp_so3(r))
    near_pi = np.linalg.norm(r) > math.pi - 1e-7  # both signs of the axis are the same rotation there
    error = min(np.abs(back - r).max(), np.abs(back + r).max() if near_pi else math.inf)
    assert error < 1e-12 + (4e-8 if near_pi else 0.0)


@given(st.floats(-18.0, -3.0), unit)
def test_small_rotations_keep_their_relative_precision(exponent, axis):
    r = 10.0**exponent * axis
    assert np.linalg.norm(log_so3(exp_so3(r)) - r) < 1e-12 * np.linalg.norm(r)


def test_exponential_turns_by_the_right_hand():
    np.testing.assert_allclose(exp_so3([0, 0, math.pi / 2]) @ [1, 0, 0], [0, 1, 0], atol=1e-15)


@given(rotation)
def test_quaternions_round_trip_and_have_unit_length(matrix):
    quaternion = quaternion_from_matrix(matrix)
    assert np.linalg.norm(quaternion) == pytest.approx(1.0)
    assert quaternion[3] >= 0.0
    np.testing.assert_allclose(matrix_from_quaternion(quaternion), matrix, atol=1e-14)
    np.testing.assert_allclose(matrix_from_quaternion(-3.0 * quaternion), matrix, atol=1e-14)


def test_quaternion_order_is_x_y_z_w():
    half = math.sqrt(0.5)
    np.testing.assert_allclose(matrix_from_quaternion([half, 0, 0, half]) @ [0, 1, 0], [0, 0, 1], atol=1e-15)


@pytest.mark.parametrize("bad", [[0, 0, 0, 0], [math.nan, 0, 0, 1], [math.inf, 0, 0, 1]])
def test_a_quaternion_without_direction_is_refused(bad):
    with pytest.raises(ValueError, match="quaternion"):
        matrix_from_quaternion(bad)


@given(rotation)
def test_mobile_xyz_angles_reproduce_the_rotation(matrix):
    angles = mobile_xyz_from_matrix(matrix)
    assert abs(angles[1]) <= math.pi / 2
    np.testing.assert_allclose(matrix_from_mobile_xyz(angles), matrix, atol=1e-8)


@given(st.floats(-3.1, 3.1), st.sampled_from([-1, 1]), st.floats(-3.1, 3.1), st.floats(-12, -6))
def test_mobile_xyz_angles_reproduce_the_rotation_near_their_singularity(alpha, side, gamma, exponent):
    matrix = matrix_from_mobile_xyz([alpha, side * (math.pi / 2 - 10.0**exponent), gamma])
    np.testing.assert_allclose(matrix_from_mobile_xyz(mobile_xyz_from_matrix(matrix)), matrix, atol=2e-8)


@pytest.mark.parametrize("beta", [math.pi / 2, -math.pi / 2])
def test_at_the_singularity_of_mobile_xyz_alpha_is_zero(beta):
    matrix = matrix_from_mobile_xyz([0.3, beta, 0.5])
    angles = mobile_xyz_from_matrix(matrix)
    assert angles[0] == 0.0
    np.testing.assert_allclose(matrix_from_mobile_xyz(angles), matrix, atol=1e-14)


def test_mobile_xyz_turns_about_x_then_the_turned_y_then_the_turned_z():
    a, b, c = 0.3, -0.4, 0.5
    expected = exp_so3([a, 0, 0]) @ exp_so3([0, b, 0]) @ exp_so3([0, 0, c])
    np.testing.assert_allclose(matrix_from_mobile_xyz([a, b, c]), expected, atol=1e-15)


@given(pose, pose, pose, position)
def test_poses_form_a_group(a, b, c, point):
    assert close((a @ b) @ c, a @ (b @ c), 1e-7)
    assert close(a @ a.inverse(), Pose.identity(), 1e-7)
    np.testing.assert_allclose((a @ b).apply(point), a.apply(b.apply(point)), atol=1e-12)


def test_apply_keeps_the_shape_of_many_points():
    p = Pose(np.array([1.0, 2.0, 3.0]), exp_so3([0, 0, math.pi / 2]))
    points = np.arange(24.0).reshape(2, 4, 3)
    result = p.apply(points)
    assert result.shape == (2, 4, 3)
    np.testing.assert_allclose(result[1, 2], p.rotation @ points[1, 2] + p.position)


@given(pose, pose)
def test_a_delta_leads_from_the_anchor_to_the_pose(anchor, target):
    reached = apply_delta(anchor, pose_delta(anchor, target))
    np.testing.assert_allclose(reached.position, target.position, atol=1e-12)
    np.testing.assert_allclose(reached.rotation, target.rotation, atol=1e-7)


def test_deltas_are_in_base_axes_and_never_jump_at_180_degrees():
    turned = Pose(np.array([0.1, 0.0, 0.0]), exp_so3([0, 0, math.radians(179)]))
    beyond = Pose(np.array([0.1, 0.01, 0.0]), exp_so3([0, 0, math.radians(181)]))
    np.testing.assert_allclose(pose_delta(turned, beyond), [0, 0.01, 0, 0, 0, math.radians(2)], atol=1e-12)


@given(pose, pose, st.floats(0.0, 1.0))
def test_interpolation_starts_ends_and_moves_evenly(a, b, fraction):
    assert close(interpolate(a, b, 0.0), a)
    np.testing.assert_allclose(interpolate(a, b, 1.0).rotation, b.rotation, atol=1e-7)
    middle = pose_delta(a, interpolate(a, b, fraction))
    whole = pose_delta(a, b)
    np.testing.assert_allclose(middle[:3], fraction * whole[:3], atol=1e-12)
    if np.linalg.norm(whole[3:]) < math.pi - 1e-3:
        np.testing.assert_allclose(middle[3:], fraction * whole[3:], atol=1e-9)


@given(position, rotation)
def test_millimetres_and_degrees_round_trip(p, r):
    start = Pose(p, r)
    back = pose_from_mm_deg(pose_to_mm_deg(start))
    np.testing.assert_allclose(back.position, start.position, atol=1e-12)
    np.testing.assert_allclose(back.rotation, start.rotation, atol=1e-7)


def test_millimetres_and_degrees_are_what_they_say():
    start = pose_from_mm_deg([190.0, 1.0, 309.0, 0.0, 90.0, 0.0])
    np.testing.assert_allclose(start.position, [0.190, 0.001, 0.309])
    np.testing.assert_allclose(start.rotation @ [0, 0, 1], [1, 0, 0], atol=1e-15)


@pytest.mark.parametrize(
    "call", [lambda: Pose(np.zeros(4), np.eye(3)), lambda: exp_so3([1.0]), lambda: log_so3(np.eye(4))]
)
def test_wrong_shapes_are_named(call):
    with pytest.raises(ValueError, match=r"expected .*shape"):
        call()
