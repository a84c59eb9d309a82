"""The nearest surface is found in speckle, and nothing is found where there is none."""

import numpy as np
import pytest
from insertion_vla_core.aline import BINS, RANGE_M, surface_distance

BIN_M = RANGE_M / (BINS - 1)


def speckle(rng: np.random.Generator, lines: int) -> np.ndarray:
    return (rng.rayleigh(62.0, (lines, BINS)) - 28.0 + rng.normal(0.0, 6.0, (lines, BINS))).clip(-28.0, 288.0).mean(0)


def with_surface(line: np.ndarray, distance_m: float) -> np.ndarray:
    return np.minimum(line + 210.0 * np.exp(-0.5 * ((np.arange(BINS) - distance_m / BIN_M) / 6.0) ** 2), 288.0)


@pytest.mark.parametrize("lines", [1, 10])
@pytest.mark.parametrize("distance_m", [0.0, 0.00006, 0.001, 0.0025, 0.00499])
def test_a_surface_is_found_to_a_few_bins(lines, distance_m):
    rng = np.random.default_rng(1)
    errors = [surface_distance(with_surface(speckle(rng, lines), distance_m)) - distance_m for _ in range(50)]
    assert np.abs(errors).max() < 6 * BIN_M


def test_the_nearest_of_two_surfaces_counts():
    line = with_surface(with_surface(speckle(np.random.default_rng(2), 1), 0.003), 0.001)
    assert surface_distance(line) == pytest.approx(0.001, abs=6 * BIN_M)


@pytest.mark.parametrize("lines", [1, 10])
def test_speckle_alone_is_no_surface(lines):
    rng = np.random.default_rng(3)
    assert all(np.isnan(surface_distance(speckle(rng, lines))) for _ in range(300))


@pytest.mark.parametrize("line", [np.full(BINS, 50.0), np.full(BINS, np.nan)])
def test_a_dead_line_is_no_surface(line):
    assert np.isnan(surface_distance(line))


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="A-line"):
        surface_distance(np.zeros((10, BINS)))
