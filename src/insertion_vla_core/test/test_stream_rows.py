"""Messages become rows of the contract's streams by their fields alone; what does not fit is named."""

from array import array
from pathlib import Path
from types import SimpleNamespace as Message

import numpy as np
import pytest
from insertion_vla_core.contract import load_contract
from insertion_vla_core.stream_rows import check_readable, rows_of

CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml")
HEADER = Message(stamp=Message(sec=12, nanosec=345))
STAMP_NS = 12_000_000_345


def joints(names: list[str], values: list[float]) -> Message:
    return Message(header=HEADER, name=names, position=values)


def test_joints_go_by_name_and_extra_ones_are_left_out():
    message = joints(["gripper", *[f"joint_{i}" for i in (6, 5, 4, 3, 2, 1)]], [9.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    stamps, rows = rows_of(CONTRACT.stream("joints"), message)
    assert stamps.tolist() == [STAMP_NS] and rows.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]


@pytest.mark.parametrize(
    ("names", "values"),
    [(["joint_1"], [0.0]), ([f"joint_{i}" for i in range(1, 7)], [0.0] * 5)],
    ids=["names", "values"],
)
def test_joints_that_are_missing_are_refused(names, values):
    with pytest.raises(ValueError, match="'joints': expected position of joint_1"):
        rows_of(CONTRACT.stream("joints"), joints(names, values))


def test_a_pose_is_position_and_quaternion():
    position, orientation = Message(x=1.0, y=2.0, z=3.0), Message(x=0.0, y=0.0, z=0.6, w=0.8)
    message = Message(header=HEADER, pose=Message(position=position, orientation=orientation))
    _, rows = rows_of(CONTRACT.stream("tool_pose"), message)
    assert rows.tolist() == [[1.0, 2.0, 3.0, 0.0, 0.0, 0.6, 0.8]]


@pytest.mark.parametrize(
    ("kind", "field"), [("geometry_msgs/msg/PointStamped", "point"), ("geometry_msgs/msg/Vector3Stamped", "vector")]
)
def test_points_and_vectors_are_three_numbers(kind, field):
    changes = {"type": kind, "field": field, "channels": ("x", "y", "z"), "shape": (3,)}
    stream = CONTRACT.stream("tool_pose").model_copy(update=changes)
    stamps, rows = rows_of(stream, Message(header=HEADER, **{field: Message(x=1.0, y=2.0, z=3.0)}))
    assert stamps.tolist() == [STAMP_NS] and rows.tolist() == [[1.0, 2.0, 3.0]]


def test_raw_force_is_read_from_its_own_field():
    stream = CONTRACT.stream("force").model_copy(update={"name": "force_raw", "field": "force_raw"})
    _, rows = rows_of(stream, Message(stamps=[10, 20], force=[float("nan")] * 2, force_raw=[-3.0, -2.5]))
    assert rows.tolist() == [[-3.0], [-2.5]]


@pytest.mark.parametrize("kind", [lambda code, v: array(code, v), lambda code, v: np.array(v)], ids=["rclpy", "bag"])
def test_force_samples_keep_their_own_stamps(kind):
    message = Message(stamps=kind("q", [10, 20, 30]), force=kind("f", [0.5, 0.25, 0.0]))
    stamps, rows = rows_of(CONTRACT.stream("force"), message)
    assert stamps.tolist() == [10, 20, 30] and rows.tolist() == [[0.5], [0.25], [0.0]]


def test_a_block_of_a_lines_gives_one_distance_at_its_newest_stamp():
    rng = np.random.default_rng(0)
    lines = rng.normal(50.0, 20.0, (3, 1025)) + 200.0 * np.exp(-0.5 * ((np.arange(1025) - 410) / 6.0) ** 2)
    message = Message(stamps=[10, 20, 30], aline_bins=1025, alines=array("f", lines.ravel().tolist()))
    stamps, rows = rows_of(CONTRACT.stream("surface_distance"), message)
    assert stamps.tolist() == [30] and rows[0, 0] == pytest.approx(0.002, abs=2e-5)


def test_a_sensor_without_a_lines_adds_nothing():
    stamps, rows = rows_of(CONTRACT.stream("surface_distance"), Message(stamps=[1], aline_bins=0, alines=[]))
    assert len(stamps) == 0 and rows.shape == (0, 1)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("force", Message(stamps=[1, 2], force=[0.0])),
        ("surface_distance", Message(stamps=[1], aline_bins=1025, alines=[0.0] * 1000)),
    ],
)
def test_blocks_that_do_not_add_up_are_refused(stream, message):
    with pytest.raises(ValueError, match=f"'{stream}'"):
        rows_of(CONTRACT.stream(stream), message)


def test_a_stream_that_nothing_can_read_is_named():
    stream = CONTRACT.stream("force").model_copy(update={"type": "geometry_msgs/msg/WrenchStamped"})
    with pytest.raises(ValueError, match="force of geometry_msgs/msg/WrenchStamped"):
        check_readable(stream)
