"""Guided sampling: a chunk continues the one before where that will have been carried out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.geometry import Pose, apply_delta, exp_so3
from insertion_vla_policy.guide import Planned
from insertion_vla_policy.policy import Policy
from insertion_vla_policy.run_options import RunOptions
from model_rig import checkpoint
from observation_rig import observation

NS = 1_000_000_000
TWIST = np.array([0.01, -0.02, 0.005, 0.2, 0.0, -0.1])
ANCHOR = Pose(np.array([0.2, 0.0, 0.1]), exp_so3([0.3, -0.2, 0.1]))
ROWS = np.arange(1, HORIZON + 1)


@settings(max_examples=40, deadline=None)
@given(
    passed_s=st.floats(0.0, 0.69),
    taken_s=st.floats(0.0, 0.7),
    moved=st.lists(st.floats(-0.001, 0.001), min_size=6, max_size=6),
)
def test_a_chunk_is_seen_from_a_later_pose_at_the_same_places_in_space(passed_s, taken_s, moved):
    steady = np.array([*TWIST[:3], 0.0, 0.0, TWIST[5]])  # a turn about one axis stays a line between rows
    before = Planned.of(0, ANCHOR, np.outer(DT_S * ROWS, steady))
    passed_ns = int(passed_s * NS)
    later = apply_delta(apply_delta(ANCHOR, passed_ns / NS * steady), moved)
    deltas, weights = before.continued(passed_ns, later, taken_s)
    for row in range(HORIZON):
        reached_s = passed_ns / NS + (row + 1) * DT_S
        if reached_s <= HORIZON * DT_S:
            there = apply_delta(ANCHOR, reached_s * steady)
            seen = apply_delta(later, deltas[row])
            assert np.allclose(seen.position, there.position, atol=1e-9)
            assert np.allclose(seen.rotation, there.rotation, atol=1e-9)
        else:
            assert weights[row] == 0.0
    assert (np.diff(weights) <= 1e-12).all() and (weights >= 0.0).all() and (weights <= 1.0).all()
    assert (weights[ROWS * DT_S <= min(taken_s, HORIZON * DT_S - passed_s) - 1e-9] == 1.0).all()


def test_nothing_is_said_of_the_time_before_it_or_after_its_end():
    before = Planned.of(NS, ANCHOR, np.outer(DT_S * ROWS, TWIST))
    assert before.continued(NS - 1, ANCHOR, 0.2) is None
    assert before.continued(NS + round((HORIZON - 1) * DT_S * NS) + 1000, ANCHOR, 0.2) is None


@pytest.mark.parametrize("twist", [[0.02, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.4]])
def test_a_chunk_that_the_arm_does_not_carry_out_is_not_continued(twist):
    before = Planned.of(0, ANCHOR, np.outer(DT_S * ROWS, twist))
    stays, follows = (lambda _: ANCHOR), (lambda t: apply_delta(ANCHOR, t * np.array(twist)))
    for passed_s in (0.11, 0.3, 0.6):  # at 2 cm/s, or 2 cm/s of what is 5 cm from the tip
        assert before.continued(round(passed_s * NS), stays(passed_s), 0.2) is None
        assert before.continued(round(passed_s * NS), follows(passed_s), 0.2) is not None
    assert before.continued(round(0.09 * NS), stays(0.09), 0.2) is not None, "a little behind is still on it"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("policy") / "diffusion", "diffusion")


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_the_rows_that_are_taken_over_are_those_of_the_chunk_before(folder, method):
    seen = observation()
    policy = Policy.load(folder, RunOptions(guided_s=0.3, steps=5, method=method))
    policy.reset("g", "")
    first = policy(seen)
    guided = policy(seen)  # of other noise
    assert np.allclose(guided.deltas[:3], first.deltas[:3], atol=1e-5)
    assert not np.allclose(guided.deltas[7], first.deltas[7], atol=1e-4)
    free = Policy.load(folder, RunOptions(steps=5, method=method))
    free.reset("g", "")
    free(seen)
    assert not np.allclose(free(seen).deltas[:3], first.deltas[:3], atol=1e-4)


def test_the_first_chunk_of_a_goal_is_not_guided(folder):
    seen = observation()
    guided, free = (Policy.load(folder, RunOptions(guided_s=guided_s, steps=5)) for guided_s in (0.3, 0.0))
    for _ in range(2):
        for policy in (guided, free):
            policy.reset("g", "")
        assert np.array_equal(guided(seen).deltas, free(seen).deltas)


def test_regression_cannot_be_guided(tmp_path):
    with pytest.raises(
        ValueError, match="expected guided_s 0 for the policy in .*, got 0.2: regression has one answer"
    ):
        Policy.load(checkpoint(tmp_path / "regression"), RunOptions(guided_s=0.2))


def test_a_plan_that_was_held_is_not_continued(folder):
    seen = observation()
    options = RunOptions(steps=5, samples=4, max_spread_m=1e-9)
    guided, free = (Policy.load(folder, options.model_copy(update={"guided_s": s})) for s in (0.3, 0.0))
    for policy in (guided, free):
        policy.reset("g", "")
        assert policy(seen).status.startswith("hold")
    assert guided(seen).spread_m == free(seen).spread_m
