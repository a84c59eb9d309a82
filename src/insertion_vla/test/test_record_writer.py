"""What waits for a slow disk is bounded and what is lost is counted; on a disk that fails the bag stays readable."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ros_graph  # noqa: F401  (sets the environment before rclpy is imported)
import rosbag2_py
from insertion_vla.record_memory import Memory
from insertion_vla.record_reception import Received
from insertion_vla.record_writer import RESERVE, BagThread

NS = 1_000_000_000
TOPIC = "/blob"
TYPES = {TOPIC: ("std_msgs/msg/String", "")}


def blobs(count: int, size: int, first: int = 0) -> list[Received]:
    """Messages that do not compress, 10 ms apart."""
    noise = np.random.default_rng(first)
    return [Received(TOPIC, noise.bytes(size), NS + k * NS // 100, k) for k in range(first, first + count)]


def read(path: Path) -> list[bytes]:
    reader = rosbag2_py.SequentialReader()
    reader.open(rosbag2_py.StorageOptions(uri=str(path), storage_id="mcap"), rosbag2_py.ConverterOptions("cdr", "cdr"))
    found = []
    while reader.has_next():
        found.append(reader.read_next()[1])
    return found


def test_what_finds_no_room_is_counted_and_the_rest_is_written(tmp_path):
    bag = BagThread(tmp_path / "bag", TYPES, {}, 1000, lambda: None)
    messages = blobs(10, 400)
    bag.add(messages)
    bag.close({"a": "b"})
    assert bag.lost == {TOPIC: 8}
    assert read(tmp_path / "bag") == [message.data for message in messages[:2]]
    metadata = rosbag2_py.MetadataIo().read_metadata(str(tmp_path / "bag"))
    assert metadata.custom_data["a"] == "b" and metadata.message_count == 2
    assert not (tmp_path / "bag" / RESERVE).exists()


def test_the_bag_is_compressed_in_chunks_and_carries_its_schema(tmp_path):
    bag = BagThread(tmp_path / "bag", TYPES, {}, 1 << 30, lambda: None)
    bag.add([Received(TOPIC, bytes(100_000), NS + k, k) for k in range(100)])
    bag.close({})
    content = (tmp_path / "bag" / "bag_0.mcap").read_bytes()
    assert len(content) < 100_000 and b"zstd" in content and b"ros2msg" in content


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "bag").mkdir()
    with pytest.raises(OSError, match="exists already"):
        BagThread(tmp_path / "bag", TYPES, {}, 1000, lambda: None)


FULL = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_record_writer import *
failed = []
bag = BagThread(Path(sys.argv[1]) / "bag", TYPES, {"a": "b"}, 1 << 30, lambda: failed.append(1))
sent = []
for first in range(0, 2000, 100):
    sent += blobs(100, 40_000, first)
    bag.add(sent[-100:])
bag.close({"a": "c"})
metadata = rosbag2_py.MetadataIo().read_metadata(str(bag.path))
found = read(bag.path)
subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
try:
    refused = BagThread(Path(sys.argv[1]) / "next", TYPES, {}, 1000, lambda: None)
except OSError as error:
    refused = str(error)
whole = found == [message.data for message in sent[: len(found)]]
counted, custom = metadata.message_count, metadata.custom_data["a"]
print(json.dumps([bag.failure, failed, len(found), whole, counted, custom, bag.lost, refused]))
"""


def can_mount() -> bool:
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces, for a small disk of its own")
def test_a_disk_that_runs_full_leaves_a_bag_that_can_be_read_and_one_that_is_read_only_is_refused(tmp_path):
    here = str(Path(__file__).parent)
    mount = 'mount -t tmpfs -o size=40m tmpfs "$1" && exec "$0" -c "$3" "$1" "$2"'
    command = ["unshare", "-rm", "bash", "-c", mount, sys.executable, str(tmp_path), here, FULL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    failure, failed, found, whole, counted, custom, lost, refused = json.loads(done.stdout.splitlines()[-1])
    assert "No space left" in failure and failed == [1]
    assert 600 < found < 1000 and whole
    assert (counted, custom) == (found, "c")
    assert lost[TOPIC] >= 1000
    assert "Read-only file system" in refused


def test_memory_is_bounded_in_time_and_bytes_and_keeps_what_is_latched():
    memory = Memory(NS, 50_000)
    latched = Received("/latched", b"old", NS // 2, 7)
    memory.extend([latched], {"/latched"})
    memory.extend(blobs(300, 100), {"/latched"})
    assert memory.oldest_ns == NS + 199 * NS // 100  # a second back from the newest
    start_ns = NS + 250 * NS // 100
    assert memory.latched_at(start_ns) == [Received("/latched", b"old", start_ns, None)]
    assert memory.latched_at(NS // 2) == []
    assert [message.sequence for message in memory.since(start_ns)] == list(range(250, 300))
    memory.extend(blobs(300, 1000, 300), set())
    assert memory.oldest_ns == NS + 550 * NS // 100, "fifty thousand bytes are fifty messages"
