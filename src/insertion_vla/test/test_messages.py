"""Messages carry poses, chunks and times without loss, and what is no pose or no chunk is refused."""

import array
import os

os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla.messages import (
    chunk_from_message,
    chunk_to_message,
    floats,
    ns_from_time,
    pose_from_message,
    pose_row,
    pose_stamped,
    pose_to_message,
    time_from_ns,
    unreadable_chunk,
)
from insertion_vla_core.chunk import Chunk, ChunkRejected, check_chunk
from insertion_vla_core.geometry import Pose, exp_so3

metres = st.floats(-2.0, 2.0)
vectors = st.tuples(metres, metres, metres)
poses = st.builds(lambda p, r: Pose(np.array(p), exp_so3(np.array(r))), vectors, vectors)
# float32 on the wire
small = st.floats(-0.5, 0.5, width=32)
rows = st.lists(st.tuples(*[small] * 6), min_size=8, max_size=8)


@given(stamp=st.integers(0, 2**31 * 10**9 - 1))
def test_times_keep_every_nanosecond(stamp):
    assert ns_from_time(time_from_ns(stamp)) == stamp


@given(pose=poses)
def test_poses_come_back(pose):
    back = pose_from_message(pose_to_message(pose))
    np.testing.assert_allclose(back.position, pose.position, atol=1e-15)
    np.testing.assert_allclose(back.rotation, pose.rotation, atol=1e-12)
    message = pose_stamped(pose, 5, "base")
    assert message.header.frame_id == "base" and pose_row(pose)[:3].tolist() == list(pose.position)


@pytest.mark.parametrize("field", ["nan position", "zero quaternion", "long quaternion", "nan quaternion"])
def test_what_is_no_pose_is_refused(field):
    message = pose_to_message(Pose.identity())
    if field == "nan position":
        message.position.x = float("nan")
    else:
        message.orientation.w = {"zero": 0.0, "long": 2.0, "nan ": float("nan")}[field[:4]]
    with pytest.raises(ValueError, match="unit quaternion"):
        pose_from_message(message)


@settings(max_examples=50)
@given(anchor=poses, deltas=rows, aux=st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=8, max_size=8))
def test_chunks_come_back(anchor, deltas, aux):
    chunk = Chunk("session", 7, "goal", 123_456_789_012, anchor, 0.1, deltas, aux, "expert", "approach", 11, 12, 0.25)
    back = chunk_from_message(chunk_to_message(chunk))
    check_chunk(back)
    assert (back.deltas == chunk.deltas).all() and (back.aux == chunk.aux).all()
    for name in (
        "session",
        "sequence",
        "goal",
        "stamp_ns",
        "policy_id",
        "status",
        "features_stamp_ns",
        "force_stamp_ns",
    ):
        assert getattr(back, name) == getattr(chunk, name)
    assert back.dt_s == 0.1 and back.inference_s == 0.25


@pytest.mark.parametrize("change", [{"horizon": 7}, {"dim": 6}, {"data": array.array("f", [0.0] * 55)}, {"horizon": 0}])
def test_a_message_of_another_shape_is_no_chunk_and_core_rejects_what_is_left(change):
    message = chunk_to_message(Chunk("s", 1, "g", 10**9, Pose.identity(), 0.1, np.zeros((8, 6)), np.zeros(8)))
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match="horizon x 7"):
        chunk_from_message(message)
    with pytest.raises(ChunkRejected):
        check_chunk(unreadable_chunk(message))


def test_not_a_number_reaches_the_check_instead_of_being_repaired():
    message = chunk_to_message(Chunk("s", 1, "g", 10**9, Pose.identity(), 0.1, np.zeros((8, 6)), np.zeros(8)))
    message.data[10] = float("nan")
    with pytest.raises(ChunkRejected, match="finite"):
        check_chunk(chunk_from_message(message))


def test_numbers_become_arrays_that_rclpy_takes_without_converting():
    values = np.arange(6, dtype=np.int32).reshape(2, 3)[:, ::-1]  # not contiguous, another type
    assert floats(values) == array.array("f", [2, 1, 0, 5, 4, 3])
    assert floats(values, "q").typecode == "q"
