import numpy as np
import pytest
from bench_moves import advance, before_tube, place
from insertion_vla_core.aline import surface_distance as seen_distance
from insertion_vla_sim.sensors import (
    ALINE_BINS,
    ALINE_MAX,
    ALINE_MIN,
    ALINE_RANGE_M,
    BASELINE_RAW,
    RAW_PER_NEWTON,
    ForceSensor,
    surface_distance,
)
from insertion_vla_sim.world import World

from insertion_vla_sim import scene


def seen(world, lines=10):
    sensor = ForceSensor(world, 3)
    return seen_distance(np.mean([sensor.read()[1] for _ in range(lines)], axis=0))


def inside_tube(before_membrane, tube=0, seed=3):
    world = World(seed)
    place(world, before_tube(world, tube, float(world.layout.membrane_depth_m[tube]) - before_membrane))
    return world


@pytest.mark.parametrize("distance", [0.0003, 0.0011, 0.0024, 0.0037, 0.0048])
def test_aline_shows_the_membrane_where_it_is(distance):
    world = inside_tube(distance)
    assert surface_distance(world) == pytest.approx(distance, abs=1e-7)
    assert seen(world) == pytest.approx(distance, abs=2e-5)


def test_membrane_clings_to_the_tip_that_presses_it():
    world = inside_tube(0.0001)
    advance(world, 0.0004, 0.002)
    assert surface_distance(world) == 0.0
    assert seen(world) < 2e-5


def test_rim_is_seen_from_above_and_felt_at_zero():
    world = World(3)
    place(world, before_tube(world, 1, -0.002, 0.0022))
    assert surface_distance(world) == pytest.approx(0.002, abs=5e-5)
    assert seen(world) == pytest.approx(0.002, abs=6e-5)
    advance(world, 0.0023, 0.002)
    assert surface_distance(world) < 1e-4


def test_from_above_the_mouth_only_the_hole_is_open():
    world = World(3)
    nearest = []
    for sideways in (0.0, 0.0012, 0.0018, 0.0028):
        place(world, before_tube(world, 0, -0.001, sideways))
        nearest.append(surface_distance(world))
    assert min(nearest[:2]) > 0.003
    assert max(nearest[2:]) < 0.0012


def test_nothing_ahead_means_no_peak():
    world = World(3)
    assert surface_distance(world) == np.inf
    assert np.isnan(seen(world))


def test_aline_looks_like_the_labs():
    sensor = ForceSensor(World(3), 1)
    lines = np.array([sensor.read()[1] for _ in range(400)])
    assert lines.shape == (400, ALINE_BINS) and lines.dtype == np.float32
    assert 45.0 < lines.mean() < 55.0 and 38.0 < lines.std() < 48.0
    assert ALINE_MIN <= lines.min() and lines.max() <= ALINE_MAX
    assert not np.array_equal(lines[0], lines[1])


def test_force_has_baseline_scale_noise_and_slow_drift():
    sensor = ForceSensor(World(3), 1)
    raw = np.array([float(sensor.read()[0]) for _ in range(650 * 20)])
    assert raw[:650].mean() == pytest.approx(BASELINE_RAW, abs=0.02)
    assert 0.015 < np.diff(raw).std() / np.sqrt(2.0) / RAW_PER_NEWTON < 0.025
    seconds = raw.reshape(20, 650).mean(axis=1) / RAW_PER_NEWTON
    assert 0.001 < np.ptp(seconds) < 0.05  # drifts, but a contact of 0.1 N is told apart after a tare


def test_contact_is_scaled():
    world = inside_tube(0.0001)
    sensor = ForceSensor(world, 1)
    free = np.mean([sensor.read()[0] for _ in range(200)])
    advance(world, 0.0005, 0.002)
    for _ in range(100):
        world.step(np.zeros(6))
    pressed = np.mean([sensor.read()[0] for _ in range(200)])
    assert world.axial_force_n > 0.1
    assert (pressed - free) / RAW_PER_NEWTON == pytest.approx(world.axial_force_n, abs=0.02)


def test_same_seed_same_samples():
    first, second, other = (ForceSensor(World(3), seed) for seed in (1, 1, 2))
    for _ in range(20):
        a, b, c = first.read(), second.read(), other.read()
        assert a[0] == b[0] and np.array_equal(a[1], b[1])
        assert a[0] != c[0]


def test_range_is_five_millimetres_in_1025_bins():
    assert ALINE_BINS == 1025
    assert ALINE_RANGE_M == 0.005
    assert scene.SAMPLE_RATE_HZ == 650.0
