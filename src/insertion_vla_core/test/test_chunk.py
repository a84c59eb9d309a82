import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.chunk import DT_S, HORIZON, Chunk, ChunkRejected, check_chunk, hold_chunk
from insertion_vla_core.geometry import Pose, exp_so3


def make(**changes: object) -> Chunk:
    values = dict(session="s", sequence=0, goal="g", stamp_ns=1, anchor=Pose(np.array([0.1, 0.2, 0.3]), np.eye(3)),
                  dt_s=DT_S, deltas=np.zeros((HORIZON, 6)), aux=np.zeros(HORIZON))  # fmt: skip
    return Chunk(**{**values, **changes})


def test_targets_are_cumulative_against_the_anchor_in_base_axes() -> None:
    anchor = Pose(np.array([0.1, 0.2, 0.3]), exp_so3([0.0, 0.0, np.pi / 2]))
    deltas = np.zeros((HORIZON, 6))
    deltas[:, 0] = np.arange(1, HORIZON + 1) * 0.001
    deltas[:, 3] = 0.1
    targets = make(anchor=anchor, deltas=deltas).targets()
    assert len(targets) == HORIZON
    assert np.allclose(targets[2].position, [0.103, 0.2, 0.3])
    assert np.allclose(targets[2].rotation, exp_so3([0.1, 0.0, 0.0]) @ anchor.rotation)


def test_a_hold_chunk_stays_at_the_anchor() -> None:
    anchor = Pose(np.array([0.1, 0.2, 0.3]), np.eye(3))
    chunk = hold_chunk("s", 4, "g", 5, anchor, aux=1.0, status="waiting")
    check_chunk(chunk)
    assert all(np.array_equal(target.position, anchor.position) for target in chunk.targets())
    assert chunk.aux.tolist() == [1.0] * HORIZON


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"session": ""}, "session id"),
        ({"sequence": -1}, "sequence"),
        ({"stamp_ns": 0}, "stamp"),
        ({"dt_s": 0.09}, "0.1 s apart, got 0.09"),
        ({"dt_s": float("nan")}, "apart, got nan"),
        ({"deltas": np.zeros((HORIZON, 7))}, r"shape \(8, 6\), got \(8, 7\)"),
        ({"aux": np.zeros(3)}, r"shape \(8,\), got \(3,\)"),
        ({"aux": np.full(HORIZON, 3.0)}, "auxiliary values"),
        ({"deltas": np.full((HORIZON, 6), 4.0)}, "degrees instead of radians"),
        ({"anchor": Pose(np.zeros(3), 2.0 * np.eye(3))}, "proper rotation"),
        ({"anchor": Pose(np.zeros(3), np.diag([1.0, 1.0, -1.0]))}, "proper rotation"),
        ({"anchor": Pose(np.zeros(3), np.full((3, 3), np.nan))}, "proper rotation"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ChunkRejected, match=words):
        check_chunk(make(**changes))


@given(st.integers(0, HORIZON - 1), st.integers(0, 5), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_row_08_one_number_that_is_not_finite_rejects_the_whole_chunk(row: int, column: int, value: float) -> None:
    deltas = np.zeros((HORIZON, 6))
    deltas[row, column] = value
    with pytest.raises(ChunkRejected, match=f"row {row}, column {column}"):
        check_chunk(make(deltas=deltas))


def test_float32_on_the_wire_is_accepted() -> None:
    check_chunk(make(dt_s=float(np.float32(0.1))))
