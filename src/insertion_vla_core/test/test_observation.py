import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_core.contract import Contract, load_contract
from insertion_vla_core.observation import Missing, Observation, ObservationBuilder

MS = 1_000_000
T0 = 1_700_000_000_000 * MS
SHIPPED = Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml"


def contract(**force) -> Contract:
    common = {"topic": "t", "type": "p/msg/T", "field": "f", "unit": "N", "max_age_s": 0.05}
    stream = {
        "name": "force",
        "channels": ["axial"],
        "shape": [1],
        "rate_hz": 100.0,
        "window_s": 0.1,
        **common,
        **force,
    }
    features = {"name": "features", "payload": True, "rate_hz": 2.6, **common, "max_age_s": 1.2}
    action = {
        "topic": "a",
        "type": "p/msg/A",
        "frame": "base",
        "horizon": 8,
        "dt_s": 0.1,
        "channels": ["x"],
        "units": ["m"],
    }
    return Contract.model_validate({"version": 1, "name": "test", "observations": [stream, features], "action": action})


def builder(until_ms=200, delay_ms=0, features=True, value=1.0, **force) -> ObservationBuilder:
    """Rows every 10 ms up to `until_ms`, and features at 0."""
    result = ObservationBuilder(contract(**force))
    for ms in range(0, until_ms + 1, 10):
        result.push("force", T0 + ms * MS, T0 + (ms + delay_ms) * MS, [value * ms])
    if features:
        result.push("features", T0, T0, "first")
    return result


def test_an_observation_holds_the_window_up_to_the_tick():
    observation = builder().build(T0 + 200 * MS)
    window = observation.streams["force"]
    assert observation.stamp_ns == T0 + 200 * MS
    assert window.values[:, 0].tolist() == [110.0, 120.0, 130.0, 140.0, 150.0, 160.0, 170.0, 180.0, 190.0, 200.0]
    assert window.mask.all()
    assert ((window.stamps_ns - T0) // MS).tolist() == list(range(110, 201, 10))
    assert observation.newest_ns == {"force": T0 + 200 * MS, "features": T0}
    assert observation.streams["features"].newest == "first"


def test_a_spike_in_the_future_is_never_seen():
    with_spike, without = builder(), builder()
    with_spike.push("force", T0 + 200 * MS + 1, T0 + 150 * MS, [1e9])  # measured after the tick, known before it
    tick = T0 + 200 * MS
    assert np.array_equal(with_spike.build(tick).streams["force"].values, without.build(tick).streams["force"].values)
    assert 1e9 in with_spike.build(tick + 10 * MS).streams["force"].values


def test_a_spike_that_arrives_after_the_tick_is_not_seen_whenever_one_looks():
    late = builder(until_ms=190)
    late.push("force", T0 + 200 * MS, T0 + 201 * MS, [1e9])  # measured by the tick, known after it
    assert 1e9 not in late.build(T0 + 200 * MS).streams["force"].values
    assert 1e9 in late.build(T0 + 200 * MS, known_by_ns=T0 + 201 * MS).streams["force"].values


def test_the_lag_moves_the_window_back():
    window = builder(lag_s=0.03).build(T0 + 200 * MS).streams["force"]
    assert window.values[-1, 0] == 170.0
    late = builder(delay_ms=20, lag_s=0.03)  # arrives late, but in time for the lag: nothing is missing
    assert late.build(T0 + 200 * MS).streams["force"].mask.all()


def test_old_data_are_missing_not_repeated():
    with pytest.raises(
        Missing, match=r"'force' is missing: expected data of at most 0\.05 s, the newest is 0\.060 s old"
    ) as e:
        builder().build(T0 + 260 * MS)
    assert (e.value.stream, e.value.age_s, e.value.max_age_s) == ("force", 0.06, 0.05)


def test_a_stream_that_never_came_is_missing():
    with pytest.raises(Missing, match="nothing has come in time") as error:
        ObservationBuilder(contract()).build(T0)
    assert error.value.age_s is None


def test_a_clock_that_runs_ahead_makes_data_missing_not_fresh():
    ahead = ObservationBuilder(contract())
    ahead.push("force", T0 + 5000 * MS, T0, [1.0])
    with pytest.raises(Missing):
        ahead.build(T0 + 10 * MS)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_missing(value):
    untared = builder(value=value)
    with pytest.raises(Missing, match="'force'"):
        untared.build(T0 + 200 * MS)


def test_a_gap_is_masked_and_holds_nothing_made_up():
    gap = ObservationBuilder(contract(max_age_s=0.02))
    gap.push("features", T0, T0, "first")
    for ms in (100, 110, 180, 190, 200):
        gap.push("force", T0 + ms * MS, T0 + ms * MS, [7.0])
    window = gap.build(T0 + 200 * MS).streams["force"]
    assert window.mask.tolist() == [True, True, True, False, False, False, False, True, True, True]
    assert np.isnan(window.values[~window.mask]).all()
    assert (window.values[window.mask] == 7.0).all()
    stamps, rows = window.valid()
    assert ((stamps - T0) // MS).tolist() == [110, 180, 190, 200]
    assert rows.shape == (4, 1)


def test_too_few_samples_are_missing_however_fresh():
    assert builder(min_share=0.9).build(T0 + 200 * MS)
    sparse = ObservationBuilder(contract(min_share=0.9))
    sparse.push("features", T0, T0, "first")
    for ms in range(0, 201, 20):
        sparse.push("force", T0 + ms * MS, T0 + ms * MS, [1.0])
    with pytest.raises(Missing, match="expected 90% of 10 rows in its window, 5 came"):
        sparse.build(T0 + 200 * MS)


def test_duplicates_do_not_count_as_samples():
    doubled = ObservationBuilder(contract(min_share=0.9))
    doubled.push("features", T0, T0, "first")
    for ms in range(0, 201, 20):
        for _ in range(2):
            doubled.push("force", T0 + ms * MS, T0 + ms * MS, [1.0])
    with pytest.raises(Missing, match="5 came"):
        doubled.build(T0 + 200 * MS)


def test_an_optional_stream_is_masked():
    observation = ObservationBuilder(contract(optional=True))
    observation.push("features", T0, T0, "first")
    window = observation.build(T0).streams["force"]
    assert not window.mask.any()
    assert np.isnan(window.values).all()
    assert "force" not in observation.build(T0).newest_ns


def test_payloads_give_the_newest_one_that_was_known_and_fresh():
    several = builder(until_ms=1300, features=False)
    several.push("features", T0 + 50 * MS, T0 + 90 * MS, "early")
    several.push("features", T0 + 150 * MS, T0 + 250 * MS, "late")
    assert several.build(T0 + 200 * MS).streams["features"].newest == "early"
    assert several.build(T0 + 250 * MS).streams["features"].newest == "late"
    assert several.build(T0 + 250 * MS).newest_ns["features"] == T0 + 150 * MS


def test_payloads_of_the_future_are_not_seen():
    several = builder()
    several.push("features", T0 + 201 * MS, T0 + 150 * MS, "future")
    assert several.build(T0 + 200 * MS).streams["features"].newest == "first"


def test_nothing_from_before_the_window_stands_in_for_its_first_points():
    short = ObservationBuilder(contract(window_s=0.02, optional=True))
    short.push("features", T0, T0, "first")
    short.push("force", T0 + 180 * MS, T0 + 180 * MS, [7.0])  # fresh, but the window is (180 ms, 200 ms]
    assert not short.build(T0 + 200 * MS).streams["force"].mask.any()
    short.push("force", T0 + 181 * MS, T0 + 181 * MS, [8.0])
    assert short.build(T0 + 200 * MS).streams["force"].values[:, 0].tolist() == [8.0, 8.0]


def test_old_payloads_are_missing():
    old = builder(until_ms=1300)
    assert old.build(T0 + 1200 * MS)
    with pytest.raises(Missing, match="'features'.*1.210 s old"):
        old.build(T0 + 1210 * MS)


def test_memory_does_not_grow_and_outlives_a_sender_that_is_too_fast():
    long = ObservationBuilder(contract())
    for i in range(20_000):  # twice the rate of the contract
        long.push("force", T0 + i * 5 * MS, T0 + i * 5 * MS, [1.0])
        long.push("features", T0 + i * 5 * MS, T0 + i * 5 * MS, i)
    assert len(long._rings["force"]) < 300
    assert len(long._payloads["features"]) <= 32
    assert long.build(T0 + 19_999 * 5 * MS).streams["force"].mask.all()


def test_unknown_streams_and_wrong_shapes_are_refused():
    some = ObservationBuilder(contract())
    with pytest.raises(KeyError, match=r"\(force\).*'farce'"):
        some.push("farce", T0, T0, [1.0])
    with pytest.raises(ValueError, match=r"shape \(1,\)"):
        some.push("force", T0, T0, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"shape \(n, 1\)"):
        some.extend("force", [T0], T0, [[1.0, 2.0]])


def frames(observation: Observation) -> bytes:
    windows = [w for w in observation.streams.values() if hasattr(w, "mask")]
    return b"".join(part.tobytes() for w in windows for part in (w.stamps_ns, w.values, w.mask))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40), st.floats(-5, 5)), max_size=60), st.integers(0, 30))
@settings(deadline=None, max_examples=50)
def test_a_replay_by_receive_times_gives_the_same_frames_bit_for_bit(messages, lag_ms):
    """Live: built while data arrive. Offline: everything known before the tick is looked at by its receive time."""
    arrivals = sorted(((s + d) * MS, s * MS, v) for s, d, v in messages)
    ticks = [tick * MS for tick in range(50, 350, 50)]
    terms = contract(optional=True, lag_s=lag_ms / 1000)
    live, offline = ObservationBuilder(terms), ObservationBuilder(terms)
    for b in (live, offline):
        b.push("features", T0, T0, "first")
    live_frames = []
    pending = list(arrivals)
    for tick in ticks:
        while pending and pending[0][0] <= tick:
            received, stamp, value = pending.pop(0)
            live.push("force", T0 + stamp, T0 + received, [value])
        live_frames.append(frames(live.build(T0 + tick)))
    for received, stamp, value in arrivals:
        offline.push("force", T0 + stamp, T0 + received, [value])
    assert [frames(offline.build(T0 + tick)) for tick in ticks] == live_frames


def test_the_shipped_contract_observes_a_running_graph():
    shipped = ObservationBuilder(load_contract(SHIPPED))
    for i in range(250):
        stamp = T0 + i * 10 * MS
        shipped.push("joints", stamp, stamp + MS, np.full(6, i))
        shipped.push("tool_pose", stamp, stamp + MS, np.full(7, i))
    for block in range(160):
        stamps = T0 + ((block * 10 + np.arange(10)) * 1e9 / 650).astype(np.int64)
        shipped.extend("force", stamps, int(stamps[-1]) + MS, np.ones((10, 1)))
        shipped.push("surface_distance", int(stamps[-1]), int(stamps[-1]) + MS, [math.nan])
    shipped.push("features", T0 + 2000 * MS, T0 + 2300 * MS, object())
    observation = shipped.build(T0 + 2450 * MS)
    assert observation.streams["joints"].values.shape == (10, 6)
    assert observation.streams["tool_pose"].values.shape == (200, 7)
    assert observation.streams["tool_pose"].mask.all()
    assert observation.streams["force"].mask.all()
    assert not observation.streams["surface_distance"].mask.any()
