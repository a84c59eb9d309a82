"""How a new chunk takes over, by mode: what the tool is told to do around the moment in which it comes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_core.chunk import DT_S, HORIZON, Chunk
from insertion_vla_core.executor import ChunkExecutor
from insertion_vla_core.geometry import Pose, exp_so3, pose_delta

NS = 1_000_000_000
T0 = 1_790_000_000 * NS
START = Pose(np.array([0.2, 0.0, 0.1]), exp_so3([0.3, -0.2, 0.1]))
TURNING = np.array([0.01, 0.0, -0.005, 0.0, 0.0, 0.1])
MODES = ("blend", "newest", "ensemble")


def at(seconds: float) -> int:
    return T0 + round(seconds * NS)


def chunk(sequence: int, t_s: float, aside_m: float = 0.0) -> Chunk:
    """A chunk along one steady motion, observed at t_s and shifted aside."""
    anchor = Pose(START.position + TURNING[:3] * t_s, exp_so3(TURNING[3:] * t_s) @ START.rotation)
    deltas = np.outer(DT_S * np.arange(1, HORIZON + 1), TURNING)
    anchor = Pose(anchor.position + [0.0, aside_m, 0.0], anchor.rotation)
    return Chunk("a", sequence, "g", at(t_s), anchor, DT_S, deltas, np.zeros(HORIZON))


def follow(mode, asides, latency_s=0.05):
    """Chunks every 100 ms, each `asides` from the motion; the executor just after the last came, and when that was."""
    executor = ChunkExecutor(mode=mode)
    for sequence, aside_m in enumerate(asides):
        executor.accept(chunk(sequence, 0.1 * sequence, aside_m), at(0.1 * sequence + latency_s))
    return executor, 0.1 * (len(asides) - 1) + latency_s


def aside(executor, t_s):
    return executor.setpoint(at(t_s)).pose.position[1] - START.position[1]


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 12), latency_s=st.floats(0.0, 0.4), later_s=st.floats(0.0, 0.35))
def test_chunks_that_agree_are_followed_as_one_in_every_mode(mode, count, latency_s, later_s):
    executor, now_s = follow(mode, [0.0] * count, latency_s)
    setpoint = executor.setpoint(at(now_s + later_s))
    steady = chunk(0, now_s + later_s).anchor
    assert np.abs(pose_delta(steady, setpoint.pose)).max() < 1e-7
    assert np.allclose(setpoint.twist, TURNING, atol=1e-6)


def test_the_newest_takes_over_at_once_and_a_blend_does_not_jump():
    newest, now_s = follow("newest", [0.0, 0.001])
    assert aside(newest, now_s) == pytest.approx(0.001, abs=1e-6)
    blend, now_s = follow("blend", [0.0, 0.001])
    assert aside(blend, now_s) == pytest.approx(0.0, abs=1e-5)
    assert aside(blend, now_s + 0.1) == pytest.approx(0.001, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(asides=st.lists(st.floats(-0.002, 0.002), min_size=1, max_size=14))
def test_an_ensemble_is_the_mean_of_what_speaks_of_now_the_oldest_first(asides):
    executor, now_s = follow("ensemble", asides)
    speaking = asides[-HORIZON:]  # a chunk reaches eight steps
    weights = np.exp(0.1 * np.arange(len(speaking))[::-1])
    assert aside(executor, now_s) == pytest.approx(weights @ speaking / weights.sum(), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(0.02, 1.0), max_age_s=st.floats(0.15, 0.8), later_s=st.sampled_from([0.0, 0.03, 0.09]))
def test_an_ensemble_asks_no_chunk_that_is_too_old_however_slow_the_arm_is(rate, max_age_s, later_s):
    executor = ChunkExecutor(max_age_s=max_age_s, mode="ensemble")
    executor.set_rate(rate, at(0.0))
    for sequence in range(20):
        came_s = 0.1 * sequence + 0.05
        executor.accept(chunk(sequence, 0.1 * sequence, 0.0 if sequence else 0.002), at(came_s))
        asked = aside(executor, came_s + later_s) > 1e-6  # only the first is aside
        assert asked == (came_s + later_s < max_age_s) or abs(came_s + later_s - max_age_s) < 1e-6


def test_an_ensemble_forgets_what_was_cleared_and_ends_with_its_newest_chunk():
    executor, now_s = follow("ensemble", [0.0, 0.002])
    executor.clear()
    assert executor.setpoint(at(now_s)) is None
    executor.accept(chunk(2, 0.2, 0.001), at(0.25))
    assert aside(executor, 0.25) == pytest.approx(0.001, abs=1e-9)
    assert executor.setpoint(at(0.2 + HORIZON * DT_S + 0.2)) is None


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="expected a mode of blend, newest, ensemble, got 'oldest'"):
        ChunkExecutor(mode="oldest")
