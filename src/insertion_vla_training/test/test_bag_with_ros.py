"""Bags go both ways between this package and ROS 2: rosbag2_py writes and we read, we write and rosbag2_py reads."""

import array
import subprocess
import sys
from pathlib import Path

import bag_rig as rig
import numpy as np
import pytest
from insertion_vla_core.episode_metadata import to_custom_data
from insertion_vla_training.bags import BagError, BagReader, local_type, recover
from rosbags.highlevel import AnyReader

rosbag2_py = pytest.importorskip("rosbag2_py")
serialization = pytest.importorskip("rclpy.serialization")


def rclpy_messages():
    """A small episode of rclpy's messages: (topic, receive_ns, message)."""
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import CompressedImage, JointState

    from insertion_vla_interfaces.msg import ForceSamples, VLFeatures

    rng = np.random.default_rng(3)
    made = []
    for k in range(40):
        t = rig.START_NS + k * 10_000_000
        joints, pose, force, image, features = JointState(), PoseStamped(), ForceSamples(), CompressedImage(), None
        for message in (joints, pose, force, image):
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(t, 10**9)
            message.header.frame_id = "base"
        joints.name = [f"joint_{i}" for i in range(6)]
        joints.position = rng.normal(size=6).tolist()
        pose.pose.position.x, pose.pose.orientation.w = float(rng.normal()), 1.0
        force.stamps = [t - 1, t]
        force.force = [float("nan"), 0.25]
        force.aline_bins = 1025
        force.alines = array.array("f", rng.normal(size=2 * 1025))
        image.format, image.data = "jpeg", rng.bytes(777)
        made += [(rig.JOINTS, t, joints), (rig.POSE, t, pose), (rig.FORCE, t, force), (rig.IMAGE, t, image)]
        if k % 10 == 0:
            features = VLFeatures(view_names=["front", "side"], shape=[2, 8], dtype="float32", data=rng.bytes(64))
            made.append((rig.FEATURES, t, features))
    return made


def write_with_ros(folder: Path, messages, preset="zstd_fast", **options):
    """A bag by rosbag2; returns (topic, receive_ns, bytes) as written."""
    writer = rosbag2_py.SequentialWriter()
    storage = rosbag2_py.StorageOptions(uri=str(folder), storage_id="mcap", storage_preset_profile=preset, **options)
    writer.open(storage, rosbag2_py.ConverterOptions("cdr", "cdr"))
    for number, (topic, kind) in enumerate(rig.TYPES.items()):
        writer.create_topic(rosbag2_py.TopicMetadata(id=number, name=topic, type=kind, serialization_format="cdr"))
    written = [(topic, t, serialization.serialize_message(message)) for topic, t, message in messages]
    for topic, receive_ns, data in written:
        writer.write(topic, data, receive_ns)
    writer.close()
    return written


@pytest.mark.parametrize("preset", ["none", "fastwrite", "zstd_fast", "zstd_small"])
def test_a_bag_of_rosbag2_is_read_with_equal_content(tmp_path, preset):
    messages = rclpy_messages()
    custom = to_custom_data(rig.episode(outcome="success"))
    written = write_with_ros(tmp_path / "bag", messages, preset, custom_data=custom)

    reader = BagReader(tmp_path / "bag")
    assert reader.episode() == rig.episode(outcome="success")
    assert {name: topic.type for name, topic in reader.topics().items()} == rig.TYPES
    got = list(reader.messages())
    assert [(m.topic, m.receive_ns, m.data) for m in got] == written
    assert [topic.count for topic in reader.topics().values()] == [40, 40, 40, 4, 40]
    for (_, _, message), raw in zip(messages, got, strict=True):
        same_fields(message, reader.decode(raw))


def same_fields(ours, theirs):
    """Every field of a message of rclpy is the same in a decoded one."""
    for name in ours.get_fields_and_field_types():
        a, b = getattr(ours, name), getattr(theirs, name)
        if hasattr(a, "get_fields_and_field_types"):
            same_fields(a, b)
        elif isinstance(b, np.ndarray):
            assert np.array_equal(np.asarray(a), b, equal_nan=b.dtype.kind == "f"), name
        elif isinstance(b, list) and b and not isinstance(b[0], str):
            for x, y in zip(a, b, strict=True):
                same_fields(x, y)
        else:
            assert a == b, name


def test_a_bag_split_over_files_is_read_as_one(tmp_path):
    messages = rclpy_messages()
    write_with_ros(tmp_path / "bag", messages, "fastwrite", max_bagfile_size=200_000)
    assert len(list((tmp_path / "bag").glob("*.mcap"))) > 1
    reader = BagReader(tmp_path / "bag")
    assert [(m.topic, m.receive_ns) for m in reader.messages()] == [(topic, t) for topic, t, _ in messages]
    assert sum(topic.count for topic in reader.topics().values()) == len(messages)


def test_our_bag_is_read_by_rosbag2_and_by_rosbags(tmp_path):
    messages = rig.graph_messages(0.5, bins=1025)
    folder = rig.write_bag(tmp_path / "bag", messages, notes="two\nlines")

    theirs = rosbag2_py.SequentialReader()
    theirs.open(rosbag2_py.StorageOptions(uri=str(folder), storage_id="mcap"), rosbag2_py.ConverterOptions())
    assert {topic.name: topic.type for topic in theirs.get_all_topics_and_types()} == rig.TYPES
    got = []
    while theirs.has_next():
        got.append(theirs.read_next())
    assert got == [(topic, data, receive_ns) for topic, receive_ns, _, data in messages]
    metadata = theirs.get_metadata()
    assert dict(metadata.custom_data) == to_custom_data(rig.episode(name="bag", notes="two\nlines"))
    latched = {
        topic.topic_metadata.name: topic.topic_metadata.offered_qos_profiles[0].durability.name
        for topic in metadata.topics_with_message_count
    }
    assert latched[rig.FEATURES] == "TRANSIENT_LOCAL" and latched[rig.JOINTS] == "VOLATILE"

    with AnyReader([folder]) as others:
        read = list(others.messages())
        assert [(c.topic, c.msgtype, t) for c, t, _ in read] == [(x, rig.TYPES[x], t) for x, t, _, _ in messages]
        assert [bytes(data) for _, _, data in read] == [data for _, _, _, data in messages]
        connection, _, data = next(entry for entry in read if entry[0].topic == rig.FORCE)
        decoded = others.deserialize(data, connection.msgtype)
        assert decoded.alines.shape == (10 * 1025,)


@pytest.mark.parametrize("topic", rig.TYPES)
def test_rclpy_reads_what_we_encode(topic):
    package, _, name = rig.TYPES[topic].split("/")
    ros_type = getattr(__import__(f"{package}.msg", fromlist=[name]), name)
    message = next(message for sent, _, message in rclpy_messages() if sent == topic)
    data = serialization.serialize_message(message)
    kind = local_type(rig.TYPES[topic])
    encoded = kind.encode(kind.decode(data))
    # The bytes differ where nothing is: Fast CDR leaves whatever was in memory there.
    assert len(encoded) <= len(data)
    same_fields(serialization.deserialize_message(encoded, ros_type), kind.decode(data))


@pytest.mark.parametrize("topic", rig.TYPES)
def test_the_hash_of_a_type_is_that_of_ros(topic):
    import json

    from ament_index_python.packages import get_package_share_directory

    package, _, name = rig.TYPES[topic].split("/")
    described = Path(get_package_share_directory(package)) / "msg" / f"{name}.json"
    if not described.exists():
        pytest.skip(f"{package} is installed without type descriptions")
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(described.read_text())["type_hashes"]}
    assert local_type(rig.TYPES[topic]).type_hash == hashes[rig.TYPES[topic]]


RECORDER = """
import sys
from insertion_vla_core.episode_metadata import note_recording
sys.path.insert(0, sys.argv[1])
import bag_rig as rig
import rosbag2_py

writer = rosbag2_py.SequentialWriter()
storage = rosbag2_py.StorageOptions(uri=sys.argv[2], storage_id="mcap", storage_preset_profile="zstd_fast")
writer.open(storage, rosbag2_py.ConverterOptions("cdr", "cdr"))
note_recording(sys.argv[2], rig.episode(instruction="insert the needle", outcome="success"))
for number, (topic, kind) in enumerate(rig.TYPES.items()):
    writer.create_topic(rosbag2_py.TopicMetadata(id=number, name=topic, type=kind, serialization_format="cdr"))
for topic, receive_ns, publish_ns, data in rig.graph_messages(4.0, bins=1025):
    writer.write(topic, data, receive_ns)
print("written", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_recorder_left_is_recovered_with_its_episode(tmp_path):
    folder = tmp_path / "bag"
    command = [sys.executable, "-c", RECORDER, str(Path(__file__).parent), str(folder)]
    recorder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert recorder.stdout.readline() == "written\n"
    recorder.kill()
    recorder.wait(timeout=20)
    with pytest.raises(BagError, match="recover"):
        BagReader(folder)
    result = recover(folder)
    reader = BagReader(folder)
    written = [(topic, t, data) for topic, t, _, data in rig.graph_messages(4.0, bins=1025)]
    got = [(m.topic, m.receive_ns, m.data) for m in reader.messages()]
    # The recorder's last chunk and its write buffer are gone with it: less than two megabytes.
    assert len(got) > 0.5 * len(written) and got == written[: len(got)]
    assert result.metadata.count == len(got)
    assert reader.episode() == rig.episode(instruction="insert the needle", outcome="success")
    theirs = rosbag2_py.SequentialReader()
    theirs.open(rosbag2_py.StorageOptions(uri=str(folder), storage_id="mcap"), rosbag2_py.ConverterOptions())
    assert theirs.get_metadata().message_count == len(got)
    assert not (folder / "recording.json").exists()
