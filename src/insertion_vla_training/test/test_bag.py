"""Bags without ROS: what is written is read; what is wrong is a sentence."""

import shutil
from pathlib import Path

import bag_rig as rig
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.contract import load_contract
from insertion_vla_core.episode_metadata import to_custom_data
from insertion_vla_core.stream_rows import rows_of
from insertion_vla_training.bags import (
    BagError,
    BagReader,
    BagWriter,
    local_definition,
    local_type,
    replace_custom_data,
)
from insertion_vla_training.bags.message_types import message_type
from mcap.writer import CompressionType, Writer

CONTRACT_FILE = Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml"


@pytest.fixture(scope="module")
def messages():
    return rig.graph_messages(1.0)


@pytest.fixture(scope="module")
def bag(tmp_path_factory, messages):
    return rig.write_bag(tmp_path_factory.mktemp("bags") / "episode_0001", messages, outcome="success")


@pytest.fixture
def copy(tmp_path, bag):
    return Path(shutil.copytree(bag, tmp_path / bag.name))


def test_what_is_written_is_read(bag, messages):
    reader = BagReader(bag)
    assert [(m.topic, m.receive_ns, m.publish_ns, m.data) for m in reader.messages()] == messages
    assert {name: topic.count for name, topic in reader.topics().items()} == {
        rig.JOINTS: 100,
        rig.POSE: 100,
        rig.FORCE: 65,
        rig.FEATURES: 0,
        rig.IMAGE: 5,
    }
    assert reader.topics()[rig.FEATURES].latched and not reader.topics()[rig.JOINTS].latched
    assert reader.span_ns() == (messages[0][1], messages[-1][1])
    assert reader.episode() == rig.episode(outcome="success")


def test_one_mcap_file_is_read_too_and_knows_its_episode(bag):
    reader = BagReader(next(bag.glob("*.mcap")))
    assert sum(1 for _ in reader.messages()) == 270
    assert reader.episode() == rig.episode(outcome="success")


def test_only_some_topics(bag, messages):
    wanted = {rig.POSE, rig.IMAGE}
    assert [m.data for m in BagReader(bag).messages(wanted)] == [
        data for topic, _, _, data in messages if topic in wanted
    ]


def test_arrays_are_views_and_rows_are_made_of_them(bag):
    reader, contract = BagReader(bag), load_contract(CONTRACT_FILE)
    message = next(reader.messages([rig.FORCE]))
    decoded = reader.decode(message)
    assert isinstance(decoded.alines, np.ndarray) and decoded.alines.dtype == np.float32
    assert np.shares_memory(decoded.alines, np.frombuffer(message.data, np.uint8))
    assert not decoded.alines.flags.writeable
    stamps, rows = rows_of(contract.stream("force"), decoded)
    assert stamps.shape == (10,) and rows.shape == (10, 1)
    _, row = rows_of(contract.stream("joints"), reader.decode(next(reader.messages([rig.JOINTS]))))
    assert row.shape == (1, 6)


def test_messages_come_in_the_order_of_their_receipt(tmp_path):
    """Also when they were written in another, over many chunks."""
    rng = np.random.default_rng(1)
    times = [rig.START_NS + int(i * 1_000_000 + rng.normal() * 200_000_000) for i in range(1500)]
    data = [rig.image(t, rng.bytes(4000)) for t in times]
    rig.write_bag(tmp_path / "bag", [(rig.IMAGE, t, t, d) for t, d in zip(times, data, strict=True)])
    got = [(m.receive_ns, m.data) for m in BagReader(tmp_path / "bag").messages()]
    order = sorted(range(len(times)), key=lambda i: times[i])
    assert got == [(times[i], data[i]) for i in order]


@given(values=st.lists(st.floats(width=32), max_size=30))
def test_every_float_comes_back_bit_for_bit(values):
    """Not a number is data here (force before the tare); the store decides what becomes of it."""
    kind = local_type(rig.TYPES[rig.FORCE])
    forces = np.array(values, np.float32)
    data = rig.force(rig.START_NS, forces, np.zeros((len(values), 0), np.float32))
    assert kind.decode(data).force.tobytes() == forces.tobytes()


def test_the_contracts_topics_are_found_by_their_namespace(tmp_path, bag):
    wanted = {"joint_states": rig.TYPES[rig.JOINTS], "force/samples": rig.TYPES[rig.FORCE]}
    assert BagReader(bag).resolve(wanted) == {"joint_states": rig.JOINTS, "force/samples": rig.FORCE}
    with BagWriter(tmp_path / "arm1", {}) as writer:
        writer.add_topic("/arm1/joint_states", rig.TYPES[rig.JOINTS])
    found = BagReader(tmp_path / "arm1").resolve({"joint_states": rig.TYPES[rig.JOINTS]}, "/arm1")
    assert found == {"joint_states": "/arm1/joint_states"}


def test_missing_topics_and_wrong_types_are_all_named(bag):
    wanted = {
        "joint_state": rig.TYPES[rig.JOINTS],
        "tool_pose": "geometry_msgs/msg/Pose",
        "force/samples": rig.TYPES[rig.FORCE],
    }
    with pytest.raises(BagError) as error:
        BagReader(bag).resolve(wanted)
    assert "/joint_state is missing (there is /joint_states)" in str(error.value)
    assert "/tool_pose is geometry_msgs/msg/PoseStamped and not geometry_msgs/msg/Pose" in str(error.value)
    with pytest.raises(BagError, match=r"/force/sample in .* is missing \(there is /force/samples\)"):
        next(BagReader(bag).messages(["/force/sample"]))


def own_mcap(folder, schema_name, encoding, definition, data=b"\x00\x01\x00\x00"):
    """A bag as another program may write it, of one message."""
    folder.mkdir()
    with open(folder / "x.mcap", "wb") as stream:
        writer = Writer(stream, compression=CompressionType.LZ4)
        writer.start(profile="ros2", library="other")
        schema = writer.register_schema(schema_name, encoding, definition.encode())
        channel = writer.register_channel("/thing", "cdr", schema)
        writer.add_message(channel, 5, data, 5)
        writer.finish()
    return BagReader(folder / "x.mcap")


@pytest.mark.parametrize(
    ("encoding", "definition", "sentence"),
    [
        ("", "", "definition of other_pkg/msg/Thing in the bag as 'ros2msg', got none"),
        ("ros2idl", "struct Thing {};", "got one in 'ros2idl'"),
        ("ros2msg", "!!", "could not read it"),
        ("ros2msg", "other_pkg/Part part", "could not read it"),
    ],
)
def test_an_unknown_schema_is_a_sentence_and_the_raw_bytes_still_come(tmp_path, encoding, definition, sentence):
    reader = own_mcap(tmp_path / "bag", "other_pkg/msg/Thing", encoding, definition)
    message = next(reader.messages())
    assert message.data == b"\x00\x01\x00\x00"
    with pytest.raises(BagError, match=sentence):
        reader.decode(message)


def test_names_of_types_are_never_run(tmp_path):
    """The decoder is compiled from the schema: a name that is Python must not get there."""
    marker = tmp_path / "marker"
    evil = f"a/msg/B:\n    import pathlib\n    pathlib.Path({str(marker)!r}).touch()\nclass C"
    reader = own_mcap(tmp_path / "bag", evil, "ros2msg", "int32 x")
    with pytest.raises(BagError, match="expected the name of a message type"):
        reader.decode(next(reader.messages()))
    with pytest.raises(BagError):
        message_type("a/msg/B", "ros2msg", f"int32 x\nstring __import__('os').mknod({str(marker)!r})")
    assert not marker.exists()


@given(data=st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_bag_error(data):
    for name in rig.TYPES.values():
        try:
            local_type(name).decode(data)
        except BagError as error:
            assert name in str(error)


def test_bytes_of_another_type_are_told(bag):
    reader = BagReader(bag)
    message = next(reader.messages([rig.JOINTS]))
    with pytest.raises(BagError, match=rf"{rig.JOINTS} at {message.receive_ns} ns.*ForceSamples"):
        reader.decode(message._replace(type=rig.TYPES[rig.FORCE], data=message.data[:40]))


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda bag: (bag / "metadata.yaml").unlink(), "found none.*recover"),
        (lambda bag: (bag / "metadata.yaml").write_text("rosbag2: 1"), "could not read it.*recover"),
        (lambda bag: (bag / "metadata.yaml").write_bytes(b"\xff\xfe"), "expected text"),
        (lambda bag: edit(bag, "storage_identifier", "sqlite3"), "stored as sqlite3; use `ros2 bag convert`"),
        (lambda bag: edit(bag, "compression_mode", "MESSAGE"), "mode MESSAGE; use `ros2 bag convert`"),
        (lambda bag: next(bag.glob("*.mcap")).unlink(), "there is none; copy the bag again"),
        (lambda bag: next(bag.glob("*.mcap")).write_bytes(b""), "the file is empty"),
        (lambda bag: next(bag.glob("*.mcap")).write_bytes(b"%PDF-1.4 and more"), "begins with other bytes"),
        (lambda bag: edit(bag, "custom_data", {"operator": "me"}), "found none: it was not recorded by this workspace"),
        (lambda bag: edit(bag, "files", [file_entry("../../etc/passwd")]), "the bag's own folder"),
    ],
)
def test_a_broken_bag_is_a_sentence(copy, break_it, sentence):
    break_it(copy)
    with pytest.raises(BagError, match=sentence):
        BagReader(copy).episode()


def edit(bag, key, value):
    path = bag / "metadata.yaml"
    values = yaml.safe_load(path.read_text())
    values["rosbag2_bagfile_information"][key] = value
    path.write_text(yaml.safe_dump(values))


def file_entry(name):
    zero = {"nanoseconds_since_epoch": 0}
    return {"path": name, "starting_time": zero, "duration": {"nanoseconds": 0}, "message_count": 1}


def test_a_folder_of_something_else_is_no_bag(tmp_path):
    with pytest.raises(BagError, match="expected a bag folder or an .mcap file"):
        BagReader(tmp_path / "nothing")


def test_a_flipped_bit_is_found_by_the_crc(copy):
    path = next(copy.glob("*.mcap"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BagError, match="the file is damaged, try: recover"):
        list(BagReader(copy).messages())


def test_a_label_given_later_changes_nothing_else(copy):
    before = yaml.safe_load((copy / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    label = rig.episode(outcome="failure", notes="slipped", bad=True, reasons=["force/samples: 12 Hz"])
    replace_custom_data(copy, to_custom_data(label))
    after = yaml.safe_load((copy / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert BagReader(copy).episode() == label
    assert {**before, "custom_data": 0} == {**after, "custom_data": 0}


def test_a_writer_that_fails_leaves_no_bag(tmp_path, messages):
    with pytest.raises(RuntimeError, match="simulation"), BagWriter(tmp_path / "bag", {}) as writer:
        writer.add_topic(rig.JOINTS, rig.TYPES[rig.JOINTS])
        writer.write(*[messages[0][i] for i in (0, 3, 1)])
        raise RuntimeError("the simulation broke")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_does_not_stand_in_the_way(tmp_path, messages):
    killed = BagWriter(tmp_path / "bag", {})
    assert not (tmp_path / "bag").exists()
    rig.write_bag(tmp_path / "bag", messages)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    assert sum(1 for _ in BagReader(tmp_path / "bag").messages()) == len(messages)
    killed.discard()


def test_a_bag_is_never_overwritten(copy):
    with pytest.raises(BagError, match="exists; choose another or remove it"):
        BagWriter(copy, {})


@pytest.mark.parametrize(
    ("misuse", "sentence"),
    [
        (lambda w: w.write("/b", b"", 1), r"expected a topic that was added \(/a\), got '/b'"),
        (lambda w: w.write("/a", b"", -1), "expected times in ns since 1970, got -1"),
        (lambda w: w.add_topic("/a", rig.TYPES[rig.POSE]), "expected a new topic"),
        (lambda w: w.add_topic("a", rig.TYPES[rig.POSE]), "expected a new topic such as '/force/samples'"),
        (lambda w: w.add_topic("/b", "cats/msg/Cat"), "got 'cats/msg/Cat'"),
    ],
)
def test_misuse_of_the_writer_is_a_sentence(tmp_path, misuse, sentence):
    with pytest.raises(BagError, match=sentence), BagWriter(tmp_path / "bag", {}) as writer:
        writer.add_topic("/a", rig.TYPES[rig.POSE])
        misuse(writer)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"data": np.zeros(3)}, "CompressedImage.*Cannot cast"),
        ({"format": 3}, "values that sensor_msgs/msg/CompressedImage can hold"),
        ({"colour": 3}, "colour"),
    ],
)
def test_values_that_do_not_fit_are_a_sentence(fields, sentence):
    kind = local_type(rig.TYPES[rig.IMAGE])
    known = {"header": rig.header(kind, rig.START_NS), "format": "jpeg", "data": np.zeros(3, np.uint8)}
    with pytest.raises(BagError, match=sentence):
        kind.encode(kind.new(**{**known, **fields}))


def test_definitions_are_complete():
    text = local_definition("insertion_vla_interfaces/msg/ActionChunk")
    for used in ("std_msgs/Header", "geometry_msgs/Pose", "geometry_msgs/Point", "builtin_interfaces/Time"):
        assert f"MSG: {used}" in text
