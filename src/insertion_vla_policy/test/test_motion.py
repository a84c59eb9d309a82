"""Chunk rows towards a goal stay on the line, within the speed, and end there at rest."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.geometry import Pose, apply_delta, exp_so3, pose_delta
from insertion_vla_policy.experts.motion import Speed, rows_towards

offsets = st.tuples(*[st.floats(-0.05, 0.05)] * 3).map(np.array)
turns = st.tuples(*[st.floats(-0.6, 0.6)] * 3).map(np.array)


@given(offset=offsets, turn=turns, speed=st.sampled_from([0.0005, 0.002, 0.02]))
def test_speed_limits_hold_between_all_rows(offset: np.ndarray, turn: np.ndarray, speed: float) -> None:
    limits = Speed(speed, angular=0.3)
    rows = rows_towards(Pose.identity(), Pose(offset, exp_so3(turn)), limits)
    steps = np.diff(np.vstack([np.zeros(6), rows]), axis=0)
    assert np.all(np.linalg.norm(steps[:, :3], axis=1) <= limits.linear * DT_S * (1 + 1e-9))
    assert np.all(np.linalg.norm(steps[:, 3:], axis=1) <= limits.angular * DT_S * (1 + 1e-9))


@given(offset=offsets, turn=turns)
def test_repeated_plans_arrive_and_stay(offset: np.ndarray, turn: np.ndarray) -> None:
    pose, goal = Pose.identity(), Pose(offset, exp_so3(turn))
    for _ in range(200):
        pose = apply_delta(pose, rows_towards(pose, goal, Speed(0.02))[0])
    assert np.linalg.norm(pose_delta(pose, goal)) < 2e-4
    assert rows_towards(goal, goal, Speed(0.02)).shape == (HORIZON, 6)
    assert np.allclose(rows_towards(goal, goal, Speed(0.02)), 0.0)
