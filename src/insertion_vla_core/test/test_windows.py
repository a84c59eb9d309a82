import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.windows import grid, resample

MS = 1_000_000


def test_the_grid_ends_at_the_tick_less_the_lag():
    points = grid(1_000 * MS, 0.05, 100.0, 0.1)
    assert points.tolist() == [860 * MS, 870 * MS, 880 * MS, 890 * MS, 900 * MS]


def test_the_grid_does_not_drift_at_odd_rates():
    points = grid(10**18, 1.0, 650.0)
    assert len(points) == 650
    assert points[-1] == 10**18
    assert points[0] == 10**18 - round(649 / 650 * 1e9)
    assert set(np.diff(points)) == {1_538_461, 1_538_462}


def test_a_window_without_a_sample_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        grid(0, 0.001, 100.0)


def test_each_point_gets_the_newest_row_before_it_and_none_from_the_future():
    stamps = np.array([5, 12, 30]) * MS
    rows = np.array([[5.0], [12.0], [30.0]])
    values, mask = resample(stamps, rows, np.array([4, 5, 11, 12, 29, 31]) * MS, 0.1)
    assert mask.tolist() == [False, True, True, True, True, True]
    assert values[1:, 0].tolist() == [5.0, 5.0, 12.0, 12.0, 30.0]


def test_rows_do_not_stand_in_longer_than_the_gap():
    values, mask = resample(np.array([0]), np.ones((1, 2)), np.array([0, 20, 21]) * MS, 0.020)
    assert mask.tolist() == [True, True, False]
    assert np.isnan(values[2]).all()  # neither zeros nor the last value


def test_numbers_that_are_not_finite_are_no_data():
    rows = np.array([[1.0, 1.0], [1.0, math.nan], [math.inf, 1.0]])
    values, mask = resample(np.array([0, 1, 2]) * MS, rows, np.array([0, 1, 2]) * MS, 1.0)
    assert mask.tolist() == [True, False, False]
    assert np.isnan(values[1:]).all()


def test_no_rows_give_an_empty_mask():
    values, mask = resample(np.empty(0, np.int64), np.empty((0, 3)), np.arange(4), 1.0)
    assert values.shape == (4, 3) and np.isnan(values).all()
    assert not mask.any()


@given(
    st.lists(st.integers(0, 200), unique=True, max_size=30).map(sorted),
    st.lists(st.integers(0, 200), min_size=1, max_size=30).map(sorted),
    st.integers(0, 50),
)
def test_resampling_agrees_with_its_definition(stamps, points, gap):
    rows = np.array([[float(s)] for s in stamps]).reshape(-1, 1)
    values, mask = resample(np.array(stamps, np.int64), rows, np.array(points), gap / 1e9)
    for point, value, there in zip(points, values[:, 0], mask, strict=True):
        before = [s for s in stamps if s <= point and point - s <= gap]
        assert there == bool(before)
        assert value == before[-1] if before else math.isnan(value)
