"""The trocar from the needle: following the row brings the needle where it belongs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from insertion_vla_core.geometry import Pose, exp_so3
from insertion_vla_policy.target import target_row

VECTORS = arrays(np.float64, 3, elements=st.floats(-1.0, 1.0))


@given(VECTORS, VECTORS, VECTORS, VECTORS)
def test_way_and_turn_bring_the_needle_into_the_mouth_and_onto_the_axis(position, turn, mouth, tilt):
    tool, axis = Pose(position * 0.2, exp_so3(turn)), exp_so3(tilt)[:, 2]
    row = target_row(mouth * 0.2, axis, tool).astype(np.float64)
    way, across, along, turn = row[:3], row[3:6], row[6], row[7:]
    np.testing.assert_allclose(tool.position + way, mouth * 0.2, atol=1e-7)
    np.testing.assert_allclose(across + along * axis, way, atol=1e-7)
    assert abs(across @ axis) < 1e-7
    np.testing.assert_allclose(exp_so3(turn) @ tool.rotation[:, 2], axis, atol=1e-6)
