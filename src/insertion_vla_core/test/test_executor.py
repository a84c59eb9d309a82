import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_core.chunk import DT_S, HORIZON, Chunk, ChunkDropped, ChunkRejected
from insertion_vla_core.executor import ChunkExecutor, OtherSession
from insertion_vla_core.geometry import Pose, exp_so3, log_so3, pose_delta

NS = 1_000_000_000
T0 = 1_790_000_000 * NS
START = Pose(np.array([0.2, 0.0, 0.1]), exp_so3([0.3, -0.2, 0.1]))


def at(seconds: float) -> int:
    return T0 + round(seconds * NS)


def straight(
    sequence: int = 0, t_s: float = 0.0, velocity: object = (0.01, 0.0, 0.0, 0.0, 0.0, 0.1), **changes: object
):
    """A chunk of constant velocity from where such a motion would be at t_s."""
    v = np.array(velocity)
    anchor = Pose(START.position + v[:3] * t_s, exp_so3(v[3:] * t_s) @ START.rotation)
    values = dict(session="a", sequence=sequence, goal="g", stamp_ns=at(t_s), anchor=anchor, dt_s=DT_S,
                  deltas=np.outer(DT_S * np.arange(1, HORIZON + 1), v), aux=np.zeros(HORIZON))  # fmt: skip
    return Chunk(**{**values, **changes})


def test_empty_before_the_first_chunk() -> None:
    assert ChunkExecutor().setpoint(T0) is None


@pytest.mark.parametrize("latency_s", [0.0, 0.05, 0.2, 0.55])
def test_latency_costs_steps_not_lag(latency_s: float) -> None:
    executor = ChunkExecutor()
    executor.accept(straight(), at(latency_s))
    for t in np.arange(latency_s, 0.79, 0.01):
        setpoint = executor.setpoint(at(t))
        assert np.allclose(setpoint.pose.position, START.position + [0.01 * t, 0.0, 0.0], atol=1e-9)
        assert np.allclose(setpoint.pose.rotation, exp_so3([0.0, 0.0, 0.1 * t]) @ START.rotation, atol=1e-9)
        assert np.allclose(setpoint.twist, [0.01, 0.0, 0.0, 0.0, 0.0, 0.1])
        assert setpoint.remaining_s == pytest.approx(0.8 - t)


def test_interpolation_is_linear_in_position_and_geodesic_in_rotation() -> None:
    random = np.random.default_rng(1)
    deltas = np.cumsum(random.normal(0.0, 0.02, (HORIZON, 6)), axis=0)
    chunk = straight(deltas=deltas, aux=np.array([0, 0, 0, 1, 1, 1, 2, 2]))
    executor = ChunkExecutor()
    executor.accept(chunk, T0)
    poses = [chunk.anchor, *chunk.targets()]
    for k in range(HORIZON):
        for part in (0.0, 0.3, 0.9):
            setpoint = executor.setpoint(at((k + part) * DT_S))
            a, b = poses[k], poses[k + 1]
            assert np.allclose(setpoint.pose.position, (1 - part) * a.position + part * b.position, atol=1e-9)
            turned = log_so3(setpoint.pose.rotation @ a.rotation.T)
            assert np.allclose(turned, part * log_so3(b.rotation @ a.rotation.T), atol=1e-8)
            assert setpoint.aux == chunk.aux[k]


def test_the_twist_is_the_derivative_of_the_pose_also_while_blending() -> None:
    executor = ChunkExecutor()
    executor.accept(straight(), T0)
    other = straight(1, 0.1, anchor=Pose(START.position + [0.002, 0.001, 0.0], START.rotation))
    executor.accept(other, at(0.15))
    for t in np.arange(0.1501, 0.24, 0.003):
        setpoint = executor.setpoint(at(t))
        later = executor.setpoint(at(t + 1e-4))
        assert np.allclose(setpoint.twist, pose_delta(setpoint.pose, later.pose) / 1e-4, atol=2e-3)


def test_overlapping_chunks_are_blended_without_a_jump() -> None:
    executor = ChunkExecutor(blend_s=0.1)
    executor.accept(straight(), T0)
    shifted = Pose(START.position + [0.0, 0.003, 0.001], START.rotation)
    before = executor.setpoint(at(0.15))
    chunk = straight(1, 0.1, anchor=shifted, velocity=[0.01, 0.0, 0.0, 0.0, 0.0, 0.0])
    executor.accept(chunk, at(0.15))
    taken = executor.setpoint(at(0.15))
    assert np.allclose(before.pose.position, taken.pose.position, atol=1e-12)
    assert np.allclose(before.pose.rotation, taken.pose.rotation, atol=1e-12)
    half = executor.setpoint(at(0.2)).pose.position
    assert half[1] == pytest.approx(0.0015) and half[2] == pytest.approx(START.position[2] + 0.0005)
    alone = ChunkExecutor()
    alone.accept(chunk, at(0.15))
    for t in (0.25, 0.3, 0.7):
        blended, plain = executor.setpoint(at(t)).pose.position, alone.setpoint(at(t)).pose.position
        assert np.allclose(blended[1:], plain[1:], atol=1e-12)


def test_a_chunk_behind_the_present_motion_neither_stops_nor_rushes_it() -> None:
    executor = ChunkExecutor()
    executor.accept(straight(), T0)
    behind = straight(1, 0.1, anchor=Pose(START.position + [0.0005, 0.0, 0.0], START.rotation),
                      velocity=[0.01, 0.0, 0.0, 0.0, 0.0, 0.0])  # fmt: skip
    executor.accept(behind, at(0.15))
    alone = ChunkExecutor()
    alone.accept(behind, at(0.15))
    ahead_m = []
    for t in np.arange(0.15, 0.8, 0.01):
        setpoint = executor.setpoint(at(t))
        assert 0.0095 <= setpoint.twist[0] <= 0.0105
        ahead_m.append(setpoint.pose.position[0] - alone.setpoint(at(t)).pose.position[0])
    assert ahead_m[0] == pytest.approx(0.0005, abs=2e-5)
    assert all(later < earlier for earlier, later in zip(ahead_m, ahead_m[1:], strict=False))  # getting back on time


def test_row_11_after_the_last_row_the_arm_rests_there_and_then_nothing_is_left() -> None:
    executor = ChunkExecutor()
    executor.accept(straight(), at(0.1))
    end = executor.setpoint(at(0.8))
    assert not end.twist.any() and end.remaining_s == 0.0
    assert np.allclose(end.pose.position, START.position + [0.008, 0.0, 0.0])
    assert executor.setpoint(at(0.95)) is None
    assert executor.setpoint(at(3.0)) is None


def test_a_chunk_is_not_followed_beyond_its_maximum_age() -> None:
    executor = ChunkExecutor(max_age_s=0.5)
    executor.accept(straight(), at(0.1))
    assert executor.setpoint(at(0.49)).twist.any()
    end = executor.setpoint(at(0.55))
    assert not end.twist.any() and np.allclose(end.pose.position, START.position + [0.005, 0.0, 0.0])
    with pytest.raises(ChunkDropped, match="0.50 s ago, got one 0.60 s old"):
        executor.accept(straight(1, 0.1), at(0.7))


def test_row_11_late_duplicate_and_out_of_order_chunks_change_nothing() -> None:
    executor = ChunkExecutor()
    executor.accept(straight(5, 0.1), at(0.2))
    before = executor.setpoint(at(0.25))
    cases = [
        (straight(5, 0.2), "duplicate"),
        (straight(4, 0.2), "older"),
        (straight(6, 0.1), "not observed after"),
        (straight(6, 0.05), "not observed after"),
        (straight(6, -0.6), "old"),
        (straight(6, 0.4), "ahead"),
    ]
    for chunk, words in cases:
        with pytest.raises(ChunkDropped, match=words):
            executor.accept(chunk, at(0.25))
    after = executor.setpoint(at(0.25))
    assert np.array_equal(before.pose.position, after.pose.position) and np.array_equal(before.twist, after.twist)


def test_row_12_another_session_is_rejected_by_name_until_released() -> None:
    executor = ChunkExecutor()
    executor.accept(straight(5), at(0.0))
    with pytest.raises(OtherSession, match="'a'.*'b'"):
        executor.accept(straight(9, 0.05, session="b"), at(0.05))
    executor.release_session()
    executor.accept(straight(0, 0.05, session="b"), at(0.05))
    assert executor.session == "b"


def test_row_08_a_rejected_chunk_leaves_the_executor_as_it_was() -> None:
    executor = ChunkExecutor()
    with pytest.raises(ChunkRejected):
        executor.accept(straight(deltas=np.full((HORIZON, 6), np.nan)), T0)
    assert executor.setpoint(T0) is None and executor.session == ""


def test_what_was_cleared_does_not_come_back() -> None:
    executor = ChunkExecutor()
    chunk = straight(3)
    executor.accept(chunk, T0)
    executor.clear()
    assert executor.setpoint(at(0.01)) is None
    with pytest.raises(ChunkDropped, match="duplicate"):
        executor.accept(chunk, at(0.02))


def test_a_path_that_is_slowed_down_keeps_its_geometry_and_waits() -> None:
    executor = ChunkExecutor()
    executor.accept(straight(), T0)
    executor.set_rate(0.25, at(0.2))
    assert np.allclose(executor.setpoint(at(0.4)).pose.position - START.position, [0.0025, 0.0, 0.0], atol=1e-9)
    executor.set_rate(1.0, at(0.4))
    assert np.allclose(executor.setpoint(at(0.5)).pose.position - START.position, [0.0035, 0.0, 0.0], atol=1e-9)
    # A chunk observed while it was slow is entered where the slowed arm is, not where a fast one would be.
    executor.clear()
    executor.accept(straight(1, 0.3), at(0.5))
    assert np.allclose(executor.setpoint(at(0.5)).pose.position - START.position, [0.003 + 0.00125, 0, 0], atol=1e-9)


def test_a_slowed_path_still_ends_in_time() -> None:
    executor = ChunkExecutor()
    executor.accept(straight(), T0)
    executor.set_rate(0.1, T0)
    assert not executor.setpoint(at(0.81)).twist.any()
    assert executor.setpoint(at(1.0)) is None


def test_at_rest_the_first_chunk_sets_in_at_its_anchor() -> None:
    executor = ChunkExecutor()
    executor.set_rate(0.0, at(-1.0))
    executor.accept(straight(), at(0.2))
    assert np.allclose(executor.setpoint(at(0.2)).pose.position, START.position, atol=1e-9)


@given(
    latencies=st.lists(st.floats(0.0, 0.35), min_size=2, max_size=12),
    rates=st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_setpoints_never_jump_whatever_comes(latencies: list[float], rates: list[float], seed: int) -> None:
    random = np.random.default_rng(seed)
    arrivals = []
    for k, latency in enumerate(latencies):
        deltas = np.cumsum(random.normal(0.0, 0.0008, (HORIZON, 6)), axis=0)
        chunk = straight(k, 0.1 * k, velocity=np.zeros(6), deltas=deltas)
        arrivals.append((0.1 * k + latency, chunk))
    arrivals.sort(key=lambda entry: entry[0])
    executor = ChunkExecutor()
    previous = None
    for tick in range(round(10 * len(latencies)) + 120):
        t = tick * 0.01
        executor.set_rate(rates[tick % 4], at(t))
        while arrivals and arrivals[0][0] <= t:
            try:
                executor.accept(arrivals.pop(0)[1], at(t))
            except ChunkDropped:
                pass
        setpoint = executor.setpoint(at(t))
        if setpoint is not None and previous is not None:
            assert np.isfinite(setpoint.twist).all()
            moved = pose_delta(previous.pose, setpoint.pose)
            assert np.abs(moved).max() < 0.01  # chunks up to ~7 mm apart, blended over 100 ms
        previous = setpoint
    assert executor.setpoint(at(0.1 * len(latencies) + 1.3)) is None
