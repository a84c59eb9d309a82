"""`ros2 bag` and the recorder and player under it, against live topics."""

import datetime
import errno
import signal
import threading

import pytest
from conftest import wait_for
from geometry_msgs.msg import WrenchStamped
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbag2_py import (
    Info,
    Player,
    PlayOptions,
    Recorder,
    RecordOptions,
    SequentialReader,
    SequentialWriter,
    StorageOptions,
    TopicMetadata,
)
from rosbag2_py._mcap_file import McapFile
from std_msgs.msg import String

LATCHED = DurabilityPolicy.TRANSIENT_LOCAL


def entries(path):
    reader = SequentialReader()
    reader.open_uri(str(path))
    out = []
    while reader.has_next():
        out.append(reader.read_next_entry())
    return out


def counts(path):
    return {t.topic_metadata.name: t.message_count for t in Info().read_metadata(str(path)).topics_with_message_count}


@pytest.fixture
def recording(tmp_path):
    """Record into a bag from a thread; `stop()` closes it and returns its path."""
    threads = []

    def start(name="bag", storage=None, **options):
        path = tmp_path / name
        recorder = Recorder("warn")
        record_options = RecordOptions(topic_polling_interval=datetime.timedelta(milliseconds=10), **options)
        storage_options = StorageOptions(uri=str(path), storage_id="mcap", **(storage or {}))
        thread = threading.Thread(target=recorder.record, args=(storage_options, record_options))
        thread.start()
        threads.append(thread)

        def stop():
            recorder.cancel()
            thread.join()
            return path

        return stop

    yield start
    for thread in threads:
        if thread.is_alive():
            Recorder.cancel()
            thread.join()


def test_nothing_is_lost_at_a_high_rate(graph, recording):
    publisher = graph.node.create_publisher(WrenchStamped, "/burst", QoSProfile(depth=5000))
    stop = recording(topics=["burst"])
    wait_for(publisher.get_subscription_count, "the recorder's subscription")
    message = WrenchStamped()
    for number in range(2000):
        message.wrench.force.x = float(number)
        publisher.publish(message)
        if number % 100 == 99:
            assert publisher.wait_for_all_acked(Duration(seconds=10))
    path = stop()
    recorded = entries(path)
    assert [deserialize_message(e.data, WrenchStamped).wrench.force.x for e in recorded] == list(range(2000))
    assert all(0 <= e.log_ns - e.publish_ns < 5e9 for e in recorded)
    (topic,) = Info().read_metadata(str(path)).topics_with_message_count
    assert topic.topic_metadata.type_description_hash.startswith("RIHS01_")
    (qos,) = topic.topic_metadata.offered_qos_profiles
    assert qos.reliability == ReliabilityPolicy.RELIABLE


def test_latched_messages_from_before_are_recorded(graph, recording):
    latched = graph.node.create_publisher(String, "/map", QoSProfile(depth=1, durability=LATCHED))
    latched.publish(String(data="here"))
    stop = recording(topics=["/map"])
    wait_for(latched.get_subscription_count, "the recorder's subscription")
    assert latched.wait_for_all_acked(Duration(seconds=10))
    assert counts(stop()) == {"/map": 1}


def test_a_later_publisher_with_weaker_guarantees_is_recorded_too(graph, recording):
    first = graph.node.create_publisher(String, "/mixed", 10)
    stop = recording(topics=["/mixed"])
    wait_for(first.get_subscription_count, "the recorder's subscription")
    weak = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    second = graph.node.create_publisher(String, "/mixed", weak)
    wait_for(second.get_subscription_count, "a subscription that matches best effort")
    stop()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"all_topics": True, "exclude_regex": "rosout|parameter"}, {"/left/a", "/left/b", "/right/a"}),
        ({"all_topics": True, "exclude_topics": ["/left/b"], "regex": "left"}, {"/left/a", "/right/a"}),
        ({"regex": "^/left/"}, {"/left/a", "/left/b"}),
        ({"topic_types": ["geometry_msgs/msg/WrenchStamped"]}, {"/left/b"}),
    ],
)
def test_topics_are_chosen(graph, recording, options, wanted):
    publishers = {
        name: graph.node.create_publisher(kind, name, 10)
        for name, kind in {"/left/a": String, "/left/b": WrenchStamped, "/right/a": String, "/_hidden": String}.items()
    }
    stop = recording(**options)
    for name in wanted:
        wait_for(publishers[name].get_subscription_count, f"the subscription of {name}")
    recorded = set(counts(stop()))
    assert recorded & set(publishers) == wanted


def test_a_full_disk_ends_the_recording_and_keeps_what_is_there(graph, tmp_path, monkeypatch):
    write = McapFile.write

    def until_full(self, *arguments):
        if self.message_count == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *arguments)

    monkeypatch.setattr(McapFile, "write", until_full)
    publisher = graph.node.create_publisher(String, "/talk", QoSProfile(depth=10, durability=LATCHED))
    for number in range(5):
        publisher.publish(String(data=str(number)))
    with pytest.raises(RuntimeError, match="cannot write to .*No space left"):
        Recorder("warn").record(StorageOptions(uri=str(tmp_path / "bag")), RecordOptions(topics=["/talk"]))
    assert [deserialize_message(e.data, String).data for e in entries(tmp_path / "bag")] == ["0", "1", "2"]


def test_wrong_options_are_refused(tmp_path):
    storage = StorageOptions(uri=str(tmp_path / "bag"))
    with pytest.raises(RuntimeError, match="nothing to record"):
        Recorder().record(storage, RecordOptions())
    with pytest.raises(RuntimeError, match="regular expression"):
        Recorder().record(storage, RecordOptions(regex="("))
    with pytest.raises(RuntimeError, match="log level"):
        Recorder("xxx")
    with pytest.raises(RuntimeError, match="no bag at"):
        Player().play(storage, PlayOptions())
    assert not (tmp_path / "bag").exists()


@pytest.fixture
def bag(tmp_path):
    """Ten messages 20 ms apart on /talk, and one latched on /map."""
    from rclpy.serialization import serialize_message

    writer = SequentialWriter()
    writer.open(StorageOptions(uri=str(tmp_path / "written")))
    map_qos = QoSProfile(depth=1, durability=LATCHED)
    for name, profiles in (("/talk", [QoSProfile(depth=10)]), ("/map", [map_qos])):
        writer.create_topic(TopicMetadata(1, name, "std_msgs/msg/String", "cdr", profiles))
    writer.write("/map", serialize_message(String(data="map")), 10**9)
    for i in range(10):
        writer.write("/talk", serialize_message(String(data=str(i))), 10**9 + i * 20_000_000)
    writer.close()
    return tmp_path / "written"


def test_play_keeps_order_pace_and_qos(graph, bag):
    talk, latched = graph.collect(String, "/talk"), graph.collect(String, "/map", durability=LATCHED)
    # A delay gives the subscriptions time to match, as with upstream.
    begin = graph.node.get_clock().now()
    Player("warn").play(StorageOptions(uri=str(bag)), PlayOptions(delay=1.5, rate=0.5))
    took_s = (graph.node.get_clock().now() - begin).nanoseconds * 1e-9
    wait_for(lambda: len(talk) == 10 and latched, "all messages")
    assert [message.data for message in talk] == [str(i) for i in range(10)]
    assert took_s >= 1.5 + 0.18 / 0.5


def test_play_loops_until_cancelled(graph, bag):
    received = graph.collect(String, "/heard")
    options = PlayOptions(loop=True, rate=20.0, topics_to_filter=["talk"], start_offset=0.1)
    options.topic_remapping_options = ["/talk:=/heard"]
    player = Player("warn")
    thread = threading.Thread(target=player.play, args=(StorageOptions(uri=str(bag)), options))
    thread.start()
    wait_for(lambda: len(received) > 12, "more messages than the bag holds")
    player.cancel()
    thread.join()
    assert {message.data for message in received} == {"5", "6", "7", "8", "9"}


def test_a_paused_player_waits_to_be_cancelled(graph, bag, capfd):
    player = Player()
    options = PlayOptions(loop=True, start_paused=True)
    thread = threading.Thread(target=player.play, args=(StorageOptions(uri=str(bag)), options))
    thread.start()
    printed = []

    def said():
        printed.append("".join(capfd.readouterr()))
        return "[rosbag2_player]: Playback until timestamp: -1" in "".join(printed)

    wait_for(said, "the player's message")
    assert thread.is_alive()
    player.cancel()
    thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_records_until_a_signal(ros2, ros2_process, peer, graph, tmp_path, number):
    path = tmp_path / "recorded"
    record = ros2_process("bag", "record", "/fast", "/latched", "-o", path, "--storage", "mcap", "--compression")
    for topic in ("/fast", "/latched"):
        record.wait_for(f"Subscribed to topic '{topic}'")
    heard = graph.collect(WrenchStamped, "/fast")
    wait_for(lambda: len(heard) > 30, "thirty messages")
    assert record.end(number) == 0, record.text
    assert "Traceback" not in record.text
    recorded = [deserialize_message(e.data, WrenchStamped) for e in entries(path) if e.topic == "/fast"]
    numbers = [int(message.wrench.force.z) for message in recorded]
    assert len(numbers) > 10 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    code, out, _ = ros2("bag", "info", path)
    assert code == 0 and "Files:             recorded_0.mcap\n" in out and "Storage id:        mcap\n" in out
    assert f"Topic: /fast | Type: geometry_msgs/msg/WrenchStamped | Count: {len(numbers)} | Serialization" in out
    assert "Topic: /latched | Type: std_msgs/msg/String | Count: 1 |" in out


def test_the_command_plays(ros2, graph, bag):
    heard = graph.collect(String, "/heard")
    code, out, _ = ros2(
        "bag", "play", bag, "--topics", "/talk", "-m", "/talk:=/heard", "-d", 1.5, "--log-level", "warn"
    )
    assert (code, out) == (0, "")
    wait_for(lambda: len(heard) == 10, "ten messages")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["info", "nowhere"], "no bag at 'nowhere'"),
        (["play", "nowhere"], "no bag at 'nowhere'"),
        (["play", "BAG", "--topics", "/tlak"], "topic '/tlak' is not in the bag; it has /map, /talk"),
        (["play", "BAG", "--rate", "0"], "expected a rate above 0"),
        (["play", "BAG", "--remap", "a=b"], "expected OLD:=NEW"),
        (["record", "-o", "x"], "nothing to record"),
        (["record", "-a", "-o", "BAG"], "exists already"),
        (["record", "-a", "-o", "x", "--custom-data", "a"], "expected KEY=VALUE"),
        (["record", "-a", "-o", "x", "--qos-profile-overrides-path", "none.yaml"], "expected topics with QoS"),
    ],
)
def test_mistakes_are_told_in_one_sentence(ros2, bag, monkeypatch, tmp_path, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, errors = ros2("bag", *[bag if argument == "BAG" else argument for argument in arguments])
    assert code == 1
    assert errors.startswith("ros2 bag: ") and sentence in errors and errors.count("\n") == 1
