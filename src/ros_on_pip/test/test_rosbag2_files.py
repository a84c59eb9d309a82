"""Bags on disk: writing, reading, splitting, metadata, type definitions, damage."""

import os
import shutil

import pytest
import rosbag2_py
import yaml
from geometry_msgs.msg import WrenchStamped
from mcap.reader import make_reader
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time
from rosbag2_py import (
    ConverterOptions,
    Info,
    LocalMessageDefinitionSource,
    MetadataIo,
    ReadOrder,
    ReadOrderSortBy,
    Reindexer,
    SequentialReader,
    SequentialWriter,
    StorageFilter,
    StorageOptions,
    TopicMetadata,
)
from rosidl_runtime_py.utilities import get_message
from std_msgs.msg import String

TEXT = "std_msgs/msg/String"


def options(path, **kwargs):
    return StorageOptions(uri=str(path), storage_id="mcap", **kwargs), ConverterOptions("cdr", "cdr")


def text(value):
    return serialize_message(String(data=value))


def write(path, entries, topics=(), **kwargs):
    """A bag of (topic, time) entries; the payload names both."""
    writer = SequentialWriter()
    writer.open(*options(path, **kwargs))
    for name in dict.fromkeys([*topics, *(topic for topic, _ in entries)]):
        writer.create_topic(TopicMetadata(id=0, name=name, type=TEXT, serialization_format="cdr"))
    for topic, stamp in entries:
        writer.write(topic, text(f"{topic} {stamp}"), stamp)
    writer.close()
    return path


def opened(path, **kwargs):
    reader = SequentialReader()
    reader.open(*options(path, **kwargs))
    return reader


def places(reader, count=None):
    out = []
    while reader.has_next() and (count is None or len(out) < count):
        topic, _, stamp = reader.read_next()
        out.append((topic, stamp))
    return out


MIXED = [("/a", 1), ("/b", 2), ("/c", 2), ("/a", 3), ("/b", 3), ("/a", 3), ("/c", 5), ("/b", 6)]


@pytest.mark.parametrize("preset", ["", "none", "fastwrite", "zstd_fast", "zstd_small"])
def test_what_is_written_is_read(tmp_path, preset):
    writer = SequentialWriter()
    writer.open(*options(tmp_path / "bag", storage_preset_profile=preset))
    writer.create_topic(TopicMetadata(name="/chatter", type=TEXT, serialization_format="cdr"))
    for i in range(10):
        writer.write("/chatter", text(f"Hello {i}"), i * 100)
    del writer  # closes the bag
    reader = opened(tmp_path / "bag")
    types = {topic.name: topic.type for topic in reader.get_all_topics_and_types()}
    for i in range(10):
        topic, data, stamp = reader.read_next()
        assert deserialize_message(data, get_message(types[topic])).data == f"Hello {i}" and stamp == i * 100
    assert not reader.has_next()
    with pytest.raises(RuntimeError, match="no message left"):
        reader.read_next()


def test_metadata_follows_rosbag2(tmp_path):
    path = tmp_path / "bag"
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    qos.deadline = Duration(seconds=1, nanoseconds=5)
    writer = SequentialWriter()
    writer.open(*options(path, custom_data={"robot": "meca500"}))
    writer.create_topic(TopicMetadata(1, "/a", TEXT, "cdr", [qos], "RIHS01_abc"))
    writer.create_topic(TopicMetadata(2, "/silent", TEXT, "cdr"))
    writer.write("/a", text("x"), 3_000_000_000)
    writer.write("/a", text("y"), 1_500_000_000)
    writer.close()
    content = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (content["version"], content["storage_identifier"], content["message_count"]) == (9, "mcap", 2)
    assert content["starting_time"] == {"nanoseconds_since_epoch": 1_500_000_000}
    assert content["duration"] == {"nanoseconds": 1_500_000_000}
    assert content["relative_file_paths"] == ["bag_0.mcap"] and content["custom_data"] == {"robot": "meca500"}
    topic, silent = content["topics_with_message_count"]
    assert (topic["message_count"], silent["message_count"]) == (2, 0)
    stored = topic["topic_metadata"]["offered_qos_profiles"][0]
    assert (stored["reliability"], stored["durability"]) == ("best_effort", "transient_local")
    assert stored["deadline"] == {"sec": 1, "nsec": 5} and stored["lifespan"]["sec"] == 9223372036
    metadata = MetadataIo().read_metadata(str(path))
    assert metadata.starting_time == Time(nanoseconds=1_500_000_000)
    assert metadata.topics_with_message_count[0].topic_metadata.type_description_hash == "RIHS01_abc"
    (read,) = metadata.topics_with_message_count[0].topic_metadata.offered_qos_profiles
    assert (read.reliability, read.durability, read.depth) == (qos.reliability, qos.durability, 5)
    assert read.deadline == qos.deadline
    assert metadata.bag_size == (path / "bag_0.mcap").stat().st_size


def test_older_metadata_with_numbers_is_read():
    profiles = "- history: 1\n  depth: 10\n  reliability: 2\n  durability: 1\n"
    content = {
        "version": 5,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": 1},
        "starting_time": {"nanoseconds_since_epoch": 2},
        "message_count": 1,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": "/a",
                    "type": TEXT,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": profiles,
                },
                "message_count": 1,
            }
        ],
        "relative_file_paths": ["a.mcap"],
    }
    metadata = MetadataIo().deserialize_metadata(yaml.safe_dump({"rosbag2_bagfile_information": content}))
    (qos,) = metadata.topics_with_message_count[0].topic_metadata.offered_qos_profiles
    assert (qos.reliability, qos.durability) == (ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.TRANSIENT_LOCAL)
    with pytest.raises(RuntimeError, match="expected rosbag2 metadata"):
        MetadataIo().deserialize_metadata("nothing: here")


def test_the_mcap_file_stands_on_its_own(tmp_path):
    path = tmp_path / "bag"
    writer = SequentialWriter()
    writer.open(*options(path))
    writer.create_topic(
        TopicMetadata(1, "/w", "geometry_msgs/msg/WrenchStamped", "cdr", [QoSProfile(depth=1)], "RIHS01_1")
    )
    writer.record("/w", serialize_message(WrenchStamped()), 20, 10, 7)
    writer.record("/w", serialize_message(WrenchStamped()), 21, 11, 8)
    writer.close()
    with (path / "bag_0.mcap").open("rb") as stream:
        reader = make_reader(stream)
        assert reader.get_header().profile == "ros2"
        messages = list(reader.iter_messages())
        schema, channel, first = messages[0]
        (record,) = reader.iter_metadata()
    assert (schema.name, schema.encoding) == ("geometry_msgs/msg/WrenchStamped", "ros2msg")
    definition = schema.data.decode()
    assert "Wrench wrench" in definition and "MSG: geometry_msgs/Vector3\n" in definition
    assert (channel.message_encoding, channel.metadata["topic_type_hash"]) == ("cdr", "RIHS01_1")
    assert "reliability: reliable" in channel.metadata["offered_qos_profiles"]
    assert [(m.log_time, m.publish_time, m.sequence) for _, _, m in messages] == [(20, 10, 7), (21, 11, 8)]
    assert record.name == "rosbag2" and "serialized_metadata" in record.metadata
    alone = tmp_path / "alone.mcap"
    shutil.copy(path / "bag_0.mcap", alone)
    (topic,) = Info().read_metadata(str(alone), "mcap").topics_with_message_count
    assert (topic.message_count, topic.topic_metadata.type_description_hash) == (2, "RIHS01_1")


def test_filters_keep_the_place(tmp_path):
    reader = opened(write(tmp_path / "bag", MIXED))
    reader.set_filter(StorageFilter(topics=["/a"]))
    assert places(reader, 2) == [("/a", 1), ("/a", 3)]
    assert reader.has_next()  # looks past messages that the next filter wants
    reader.reset_filter()
    assert places(reader) == [("/b", 3), ("/a", 3), ("/c", 5), ("/b", 6)]


@pytest.mark.parametrize(
    ("rules", "topics"),
    [
        ({"topics": ["/a", "/c"]}, {"/a", "/c"}),
        ({"regex": "[ab]$"}, {"/a", "/b"}),
        ({"exclude_topics": ["/a"]}, {"/b", "/c"}),
        ({"regex": "/", "regex_to_exclude": "c"}, {"/a", "/b"}),
        ({"topics": ["/a"], "exclude_topics": ["/a"]}, set()),
    ],
)
def test_filters_choose_topics(tmp_path, rules, topics):
    reader = opened(write(tmp_path / "bag", MIXED))
    reader.set_filter(StorageFilter(**rules))
    assert {topic for topic, _ in places(reader)} == topics


def test_seeking_and_ends(tmp_path):
    path = write(tmp_path / "bag", MIXED)
    reader = opened(path)
    reader.seek(3)
    assert places(reader, 1) == [("/a", 3)]
    reader.set_filter(StorageFilter(topics=["/b"]))
    assert places(reader) == [("/b", 3), ("/b", 6)]
    reader.seek(2)
    assert places(reader) == [("/b", 2), ("/b", 3), ("/b", 6)]
    reader.seek(7)
    assert not reader.has_next()
    assert places(opened(path, start_time_ns=2, end_time_ns=3)) == MIXED[1:6]
    reader.close()
    with pytest.raises(RuntimeError, match="not open"):
        reader.has_next()


def test_read_orders(tmp_path):
    path = write(tmp_path / "bag", [("/a", 5), ("/a", 1), ("/b", 3)])
    reader = opened(path)
    assert places(reader) == [("/a", 1), ("/b", 3), ("/a", 5)]
    assert reader.set_read_order(ReadOrder(reverse=True))
    assert places(reader) == [("/a", 5), ("/b", 3), ("/a", 1)]
    assert reader.set_read_order(ReadOrder(ReadOrderSortBy.File))
    assert places(reader, 1) == [("/a", 5)]
    reader.set_filter(StorageFilter(topics=["/b"]))
    assert places(reader) == [("/b", 3)]
    assert not reader.set_read_order(ReadOrder(ReadOrderSortBy.PublishedTimestamp))


def test_bags_are_split_by_duration_and_read_as_one(tmp_path):
    second = 10**9
    entries = [("/a", i * second // 2) for i in range(10)]
    path = write(tmp_path / "bag", entries, topics=["/silent"], max_bagfile_duration=2)
    metadata = Info().read_metadata(str(path), "mcap")
    assert metadata.relative_file_paths == ["bag_0.mcap", "bag_1.mcap", "bag_2.mcap"]
    assert [file.message_count for file in metadata.files] == [4, 4, 2]
    reader = opened(path)
    reader.seek(3 * second)
    assert places(reader, 2) == entries[6:8]
    reader.set_filter(StorageFilter(topics=["/a"]))
    assert places(reader) == entries[8:]
    assert places(opened(path)) == entries
    backwards = opened(path)
    backwards.set_read_order(ReadOrder(reverse=True))
    assert places(backwards, 5) == entries[:4:-1]
    backwards.reset_filter()
    assert places(backwards) == entries[4::-1]


def test_bags_are_split_by_size(tmp_path):
    path = write(
        tmp_path / "bag", [("/a", i) for i in range(50)], max_bagfile_size=1000, storage_preset_profile="fastwrite"
    )
    metadata = Info().read_metadata(str(path), "mcap")
    assert len(metadata.files) > 3 and metadata.message_count == 50


def test_a_bag_without_metadata_is_read_and_reindexed(tmp_path):
    path = write(tmp_path / "bag", MIXED)
    whole = (path / "metadata.yaml").read_text()
    os.unlink(path / "metadata.yaml")
    assert places(opened(path)) == sorted(MIXED, key=lambda entry: entry[1])
    Reindexer().reindex(StorageOptions(uri=str(path)))
    again = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    first = yaml.safe_load(whole)["rosbag2_bagfile_information"]
    for key in ("message_count", "duration", "starting_time", "relative_file_paths", "files"):
        assert again[key] == first[key]


def test_a_killed_recording_gives_what_is_whole(tmp_path):
    entries = [("/a", i) for i in range(200)]
    path = write(tmp_path / "bag", entries, storage_preset_profile="fastwrite")
    os.unlink(path / "metadata.yaml")
    file = path / "bag_0.mcap"
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 3)
    rest = places(opened(path))
    assert 10 < len(rest) < 200 and rest == entries[: len(rest)]
    assert Info().read_metadata(str(path), "mcap").message_count == len(rest)


def test_wrong_use_is_told(tmp_path):
    path = write(tmp_path / "bag", MIXED)
    with pytest.raises(RuntimeError, match="exists already"):
        SequentialWriter().open(*options(path))
    with pytest.raises(RuntimeError, match="no bag at"):
        opened(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError, match="metadata.yaml or .mcap"):
        opened(tmp_path / "empty")
    with pytest.raises(RuntimeError, match="sqlite3"):
        SequentialReader().open(StorageOptions(uri=str(path), storage_id="sqlite3"))
    with pytest.raises(RuntimeError, match="snapshot_mode"):
        SequentialWriter().open(StorageOptions(uri=str(tmp_path / "s"), snapshot_mode=True))
    with pytest.raises(RuntimeError, match="storage preset"):
        SequentialWriter().open(StorageOptions(uri=str(tmp_path / "p"), storage_preset_profile="tiny"))
    with pytest.raises(RuntimeError, match="call open"):
        SequentialWriter().write("/a", b"", 0)
    writer = SequentialWriter()
    writer.open(*options(tmp_path / "w"))
    with pytest.raises(RuntimeError, match="call create_topic"):
        writer.write("/a", b"", 0)
    with pytest.raises(TypeError, match="name the arguments"):
        TopicMetadata("/a", TEXT, "cdr")
    with pytest.raises(AttributeError, match="include_hidden_topics"):
        rosbag2_py.RecordOptions().all_services = True
    os.unlink(path / "bag_0.mcap")
    with pytest.raises(RuntimeError, match="lacks bag_0.mcap"):
        opened(path)


def test_compression_writes_chunks_that_every_reader_can_read(tmp_path):
    mode = rosbag2_py.compression_mode_from_string("message")
    assert rosbag2_py.compression_mode_to_string(mode) == "MESSAGE"
    writer = rosbag2_py.SequentialCompressionWriter(rosbag2_py.CompressionOptions("zstd", mode))
    writer.open(*options(tmp_path / "small"))
    writer.create_topic(TopicMetadata(name="/a", type=TEXT, serialization_format="cdr"))
    for i in range(100):
        writer.write("/a", text("x" * 1000), i)
    writer.close()
    assert (tmp_path / "small" / "small_0.mcap").stat().st_size < 20_000
    reader = rosbag2_py.SequentialCompressionReader()
    reader.open(*options(tmp_path / "small"))
    assert len(places(reader)) == 100
    with pytest.raises(RuntimeError, match="compression mode"):
        rosbag2_py.compression_mode_from_string("some")
    with pytest.raises(RuntimeError, match="lz5"):
        rosbag2_py.SequentialCompressionWriter(rosbag2_py.CompressionOptions("lz5", mode))


def test_bags_are_merged_and_written_again(tmp_path):
    first = write(tmp_path / "first", [("/a", 1), ("/b", 3), ("/a", 5)])
    second = write(tmp_path / "second", [("/c", 2), ("/a", 4)])
    config = tmp_path / "outputs.yaml"
    outputs = [
        {"uri": str(tmp_path / "everything"), "storage_id": "mcap"},
        {"uri": str(tmp_path / "some"), "topics": ["a", "/c"], "exclude": "c$", "storage_preset_profile": "zstd_fast"},
    ]
    config.write_text(yaml.safe_dump({"output_bags": outputs}))
    rosbag2_py.bag_rewrite([StorageOptions(uri=str(first)), StorageOptions(uri=str(second))], str(config))
    assert places(opened(tmp_path / "everything")) == [("/a", 1), ("/c", 2), ("/b", 3), ("/a", 4), ("/a", 5)]
    assert places(opened(tmp_path / "some")) == [("/a", 1), ("/a", 4), ("/a", 5)]


@pytest.mark.parametrize("content", ["- key: value", "output_bags: {key: value}", "output_bags: [{uri: x, sped: 2}]"])
def test_wrong_outputs_are_refused(tmp_path, content):
    config = tmp_path / "outputs.yaml"
    config.write_text(content)
    with pytest.raises(RuntimeError, match="output_bags|sped"):
        rosbag2_py.bag_rewrite([], str(config))


def test_definitions_contain_all_used_types():
    source = LocalMessageDefinitionSource()
    twist = source.get_full_text("geometry_msgs/msg/TwistStamped")
    assert twist.encoding == "ros2msg" and twist.topic_type == "geometry_msgs/msg/TwistStamped"
    separator = "=" * 80
    parts = twist.encoded_message_definition.split(f"\n{separator}\nMSG: ")
    names = ["std_msgs/Header", "builtin_interfaces/Time", "geometry_msgs/Twist", "geometry_msgs/Vector3"]
    assert [part.splitlines()[0] for part in parts[1:]] == names
    service = source.get_full_text("std_srvs/srv/Trigger").encoded_message_definition
    assert service.startswith(f"{separator}\nSRV: std_srvs/srv/Trigger\n")
    for wrong in ("some_pkg", "std_msgs/msg/Nothing", "no_package/msg/String"):
        unknown = source.get_full_text(wrong)
        assert (unknown.encoding, unknown.encoded_message_definition) == ("unknown", "")
