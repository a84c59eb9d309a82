import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.geometry import Pose, exp_so3, pose_delta
from insertion_vla_core.wire import camera_zmq, state_zmq
from insertion_vla_core.wire.errors import WireError

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))


@given(st.text(min_size=1, max_size=40), st.floats(0.0, 4e9), st.binary(max_size=200))
def test_camera_frames_round_trip(camera, timestamp, rest):
    jpeg = b"\xff\xd8\xff" + rest
    frame = camera_zmq.decode(camera_zmq.encode(camera, timestamp, jpeg), 1000)
    assert (frame.camera, frame.timestamp_s, frame.jpeg) == (camera, timestamp, jpeg)


def test_camera_frames_are_what_the_lab_sends():
    header, jpeg = camera_zmq.encode("front", 12.5, JPEG)
    assert json.loads(header) == {"camera": "front", "timestamp": 12.5, "size": len(JPEG)}
    assert jpeg == JPEG


def header(**changes):
    return json.dumps({"camera": "front", "timestamp": 1.0, "size": len(JPEG), **changes}).encode()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "two parts"),
        ([header()], "two parts"),
        ([header(), JPEG, b""], "two parts"),
        ([header(), JPEG + bytes(1000)], "at most 1000 bytes"),
        ([header(camera="x" * 5000), JPEG], "header of at most"),
        ([b"\xff\xfe", JPEG], "JSON header"),
        ([b"[" * 4000, JPEG], "JSON header"),
        ([b"3", JPEG], "JSON object"),
        ([header(camera=7), JPEG], "camera's name"),
        ([header(camera=""), JPEG], "camera's name"),
        ([header(timestamp=math.nan), JPEG], "timestamp"),
        ([header(timestamp=True), JPEG], "timestamp"),
        ([header(timestamp="1"), JPEG], "timestamp"),
        ([header(timestamp=-1), JPEG], "timestamp"),
        ([header(timestamp=10**300), JPEG], "timestamp"),
        ([header(size=3), JPEG], "expected the 3 bytes"),
        ([header(size=None), JPEG], "expected the None bytes"),
        ([header(size=len(JPEG)), b"\x89PNG" + JPEG[4:]], "JPEG"),
    ],
)
def test_wrong_camera_frames_are_refused_in_a_sentence(parts, message):
    with pytest.raises(WireError, match=message):
        camera_zmq.decode(parts, 1000)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
headers = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"camera": json_values, "timestamp": json_values, "size": json_values | st.just(len(JPEG))}
    ).map(lambda value: json.dumps(value).encode()),
)


@given(st.lists(headers | st.binary(max_size=60) | st.just(JPEG), max_size=3))
def test_random_parts_raise_nothing_but_wire_errors(parts):
    for decode in (lambda: camera_zmq.decode(parts, 1000), lambda: state_zmq.decode(parts)):
        try:
            decode()
        except WireError as error:
            assert str(error).startswith("expected")


joints = st.tuples(*[st.floats(-3.0, 3.0)] * 6).map(np.array)


@given(st.floats(0.0, 4e9), joints, st.tuples(*[st.floats(-1.0, 1.0)] * 6).map(np.array))
def test_robot_states_round_trip_to_the_precision_of_the_wire(stamp, q, six):
    sent = state_zmq.RobotState(stamp, stamp + 0.001, q, Pose(six[:3], exp_so3(six[3:])))
    got = state_zmq.decode(state_zmq.encode(sent))
    assert (got.origin_s, got.send_s) == (sent.origin_s, sent.send_s)
    np.testing.assert_allclose(got.joints, q, atol=1e-6)
    np.testing.assert_allclose(pose_delta(sent.pose, got.pose), 0.0, atol=2e-6)


def test_robot_states_are_what_the_lab_sends():
    payload = struct.pack("<ddf12f", 10.0, 10.5, 0.0, 0, 90, 0, 0, 0, -180, 190, 1, 309, 0, 90, 0)
    state = state_zmq.decode([b"robot_state", payload])
    assert (state.origin_s, state.send_s) == (10.0, 10.5)
    np.testing.assert_allclose(state.joints, [0, math.pi / 2, 0, 0, 0, -math.pi])
    np.testing.assert_allclose(state.pose.position, [0.190, 0.001, 0.309], rtol=1e-6)
    np.testing.assert_allclose(state.pose.rotation @ [0, 0, 1], [1, 0, 0], atol=1e-7)
    assert state_zmq.encode(state)[1] == payload


GOOD = struct.pack("<ddf12f", 1.0, 1.0, *[0.0] * 13)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([b"robot_state"], "two parts"),
        ([b"episode_end", GOOD], "robot_state"),
        ([b"robot_state", GOOD[:-1]], "68 bytes, got 67"),
        ([b"robot_state", struct.pack("<ddf12f", 1.0, 1.0, 0.0, math.nan, *[0.0] * 11)], "finite"),
        ([b"robot_state", struct.pack("<ddf12f", -1.0, 1.0, *[0.0] * 13)], "impossible time"),
        ([b"robot_state", struct.pack("<ddf12f", 1.0, math.nan, *[0.0] * 13)], "impossible time"),
    ],
)
def test_wrong_robot_states_are_refused_in_a_sentence(parts, message):
    with pytest.raises(WireError, match=message):
        state_zmq.decode(parts)
