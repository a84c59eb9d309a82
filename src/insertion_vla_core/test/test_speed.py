import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.path_clock import PathClock
from insertion_vla_core.speed import joint_factor, lengths, progress, slew, speed_factor, workspace_factor

numbers = st.floats(-1.0, 1.0, allow_subnormal=False)
twists = st.lists(numbers, min_size=6, max_size=6)


@given(twists, st.floats(1e-3, 1.0), st.floats(1e-3, 1.0))
def test_speed_factor_meets_both_limits_and_takes_no_more_than_needed(
    twist: list[float], linear: float, angular: float
) -> None:
    factor = speed_factor(twist, linear, angular, "why")
    v, w = lengths([factor.scale * value for value in twist])
    assert v <= linear * (1 + 1e-9) and w <= angular * (1 + 1e-9)
    if factor.scale < 1.0:
        assert factor.reason == "why"
        assert v == pytest.approx(linear) or w == pytest.approx(angular)
    else:
        assert factor.reason == ""


@given(twists, twists, st.floats(1e-4, 0.1), st.floats(1e-4, 0.1))
def test_slew_takes_a_straight_step_within_the_acceleration(
    previous: list[float], target: list[float], linear: float, angular: float
) -> None:
    result = slew(previous, target, linear, angular)
    change = np.subtract(result, previous)
    v, w = lengths(change.tolist())
    assert v <= linear * (1 + 1e-9) + 1e-12 and w <= angular * (1 + 1e-9) + 1e-12
    wanted = np.subtract(target, previous)
    part = float(change @ wanted) / float(wanted @ wanted) if np.linalg.norm(wanted) > 1e-9 else 1.0
    assert -1e-9 <= part <= 1 + 1e-9
    assert np.allclose(change, part * wanted, atol=1e-9)


def test_slew_arrives() -> None:
    assert slew([0.0] * 6, [1e-3] * 6, 1.0, 1.0) == [1e-3] * 6


def test_joint_factor_names_the_slowest_joint() -> None:
    speeds, lower, upper = [1.0] * 6, [-3.0] * 6, [3.0] * 6
    factor = joint_factor([0.1, 0.0, 2.0, 4.0, 0.0, 0.0], [0.0] * 6, speeds, lower, upper)
    assert factor.scale == 0.25 and "joint 4" in factor.reason and "singularity" in factor.reason


def test_joint_factor_stops_before_the_end_of_the_range_but_lets_the_joint_back() -> None:
    speeds, lower, upper = [1.0] * 6, [-3.0] * 6, [3.0] * 6
    out = joint_factor([0.5, 0, 0, 0, 0, 0], [3.0, 0, 0, 0, 0, 0], speeds, lower, upper)
    assert out.scale < 0.01 and "joint 1" in out.reason
    assert joint_factor([1e-9, 0.5, 0, 0, 0, 0], [3.0, 0, 0, 0, 0, 0], speeds, lower, upper).scale == 1.0
    assert joint_factor([-0.5, 0, 0, 0, 0, 0], [3.0, 0, 0, 0, 0, 0], speeds, lower, upper).scale == 1.0
    assert joint_factor([0.5, 0, 0, 0, 0, 0], [3.2, 0, 0, 0, 0, 0], speeds, lower, upper).scale == 0.0


def test_workspace_factor_lets_nothing_out_and_everything_in() -> None:
    box = (-0.1, -0.1, 0.0), (0.1, 0.1, 0.2)
    outside = [0.11, 0.0, 0.1]
    assert workspace_factor(outside, [0.01, 0, 0, 0, 0, 0], *box).scale == 0.0
    assert workspace_factor(outside, [-0.01, 0.01, 0, 0, 0, 0], *box).scale == 1.0
    near = workspace_factor([0.099, 0.0, 0.1], [0.02, 0, 0, 0, 0, 0], *box)
    assert near.scale == pytest.approx(0.25, rel=0.02) and "x end" in near.reason


def test_progress_is_the_part_of_the_wanted_motion_that_is_made() -> None:
    wanted = [0.01, 0.0, 0.0, 0.0, 0.0, 0.1]
    assert progress([0.5 * value for value in wanted], wanted, 0.05) == pytest.approx(0.5)
    assert progress([-value for value in wanted], wanted, 0.05) == 0.0
    assert progress([0.0, 0.02, 0.0, 0.0, 0.0, 0.0], wanted, 0.05) == 0.0
    assert progress([0.0] * 6, [0.0] * 6, 0.05) == 1.0


def test_the_path_clock_runs_at_its_rate_and_remembers() -> None:
    clock = PathClock()
    assert clock.at(1_000) == 1_000
    clock.set_rate(0.5, 1_000)
    clock.set_rate(0.0, 2_000)
    clock.set_rate(1.0, 3_000)
    assert [clock.at(t) for t in (500, 1_500, 2_000, 2_500, 3_000, 4_000)] == [500, 1_250, 1_500, 1_500, 1_500, 2_500]
    clock.set_rate(0.3, 2_500)  # back in time: ignored
    assert clock.at(4_000) == 2_500


@given(st.lists(st.tuples(st.integers(0, 10**8), st.floats(0.0, 1.0)), max_size=30))
def test_path_time_never_runs_backwards_or_ahead(changes: list[tuple[int, float]]) -> None:
    clock, now, before = PathClock(), 10**18, 10**18
    for step, rate in changes:
        now += step
        clock.set_rate(rate, now)
        assert before <= clock.at(now) <= now
        before = clock.at(now)
