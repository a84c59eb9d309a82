"""Publish the messages of a bag at the pace of their recording."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from rosidl_runtime_py.utilities import get_message

from rosbag2_py._cancel_flag import CancelFlag
from rosbag2_py._qos import playback_qos
from rosbag2_py._reader import Entry, SequentialReader
from rosbag2_py._storage import StorageFilter, StorageOptions
from rosbag2_py._transport import PlayOptions, check_log_level, own_node

NS_PER_S = 10**9
ACKNOWLEDGED_WITHIN = Duration(seconds=1)


class Player:
    """Plays until the end of the bag or `cancel`."""

    _cancelled = CancelFlag()

    def __init__(self, log_level: str = "info") -> None:
        check_log_level(log_level)
        self._log_level = log_level
        Player._cancelled.clear()

    @staticmethod
    def cancel() -> None:
        """End the playback that runs."""
        Player._cancelled.set()

    def play(self, storage_options: StorageOptions, play_options: PlayOptions) -> None:
        """Play a bag, blocking until its end or `cancel`.

        Raises:
            RuntimeError: There is no such bag, or the options are wrong.
        """
        _check(play_options)
        reader = SequentialReader()
        reader.open(storage_options)
        remaps = [part for rule in play_options.topic_remapping_options for part in ("--remap", rule)]
        try:
            with own_node("rosbag2_player", self._log_level, remaps) as node:
                _Session(node, reader, storage_options, play_options, Player._cancelled).run()
        finally:
            Player._cancelled.clear()


def _check(options: PlayOptions) -> None:
    if not options.rate > 0:
        raise RuntimeError(f"expected a rate above 0, got {options.rate}")
    if options.start_offset < 0 or options.delay < 0:
        raise RuntimeError(f"expected start offset and delay >= 0, got {options.start_offset} and {options.delay}")
    if options.read_ahead_queue_size < 1:
        raise RuntimeError(f"expected a read-ahead queue of 1 message or more, got {options.read_ahead_queue_size}")


class _Session:
    """One playback: a thread reads ahead, the calling thread publishes on time."""

    def __init__(
        self,
        node: Node,
        reader: SequentialReader,
        storage_options: StorageOptions,
        options: PlayOptions,
        cancelled: CancelFlag,
    ) -> None:
        self._node = node
        self._storage_options = storage_options
        self._options = options
        self._cancelled = cancelled
        self._log = node.get_logger()
        metadata = reader.get_metadata()
        self._start_ns = metadata.starting_time.nanoseconds + int(options.start_offset * NS_PER_S)
        self._until_ns = -1
        if options.playback_duration >= 0:
            self._until_ns = self._start_ns + int(options.playback_duration * NS_PER_S)
        self._publishers = self._make_publishers(reader)
        self._clock_publisher = None
        if options.clock_publish_frequency > 0:
            self._clock_publisher = node.create_publisher(Clock, "/clock", 10)

    def _make_publishers(self, reader: SequentialReader) -> dict[str, Any]:
        publishers = {}
        known = {topic.name for topic in reader.get_all_topics_and_types()}
        for name in self._options.topics_to_filter:
            if self._full_name(name) not in known:
                raise RuntimeError(f"topic '{name}' is not in the bag; it has {', '.join(sorted(known)) or 'none'}")
        reader.set_filter(self._filter())
        for topic in reader.get_all_topics_and_types():
            try:
                message_type = get_message(topic.type)
            except (ImportError, AttributeError, ValueError) as error:
                self._log.warning(f"topic '{topic.name}' is not played: type {topic.type} is not installed: {error}")
                continue
            qos = self._options.topic_qos_profile_overrides.get(topic.name) or playback_qos(topic.offered_qos_profiles)
            if reader.accepts(topic.name):
                publishers[topic.name] = self._node.create_publisher(message_type, topic.name, qos)
        return publishers

    @staticmethod
    def _full_name(topic: str) -> str:
        return topic if topic.startswith("/") else f"/{topic}"

    def _filter(self) -> StorageFilter:
        return StorageFilter(
            topics=[self._full_name(name) for name in self._options.topics_to_filter],
            regex=self._options.regex_to_filter,
            exclude_topics=[self._full_name(name) for name in self._options.exclude_topics_to_filter],
            regex_to_exclude=self._options.exclude_regex_to_filter,
        )

    def run(self) -> None:
        self._log.info(f"Set rate to {self._options.rate}")
        self._log.info(f"Playback until timestamp: {self._until_ns}")
        if self._options.start_paused:
            # Without keyboard controls nothing resumes a paused player; it waits to be cancelled.
            self._cancelled.wait(float("inf"))
        while not self._cancelled.wait(self._options.delay):
            self._play_once()
            if not self._options.loop:
                break
        # A reliable publisher that goes away at once would take its last messages with it.
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(ACKNOWLEDGED_WITHIN)

    def _play_once(self) -> None:
        begin_s = time.monotonic()
        next_clock_ns = 0
        for entry in self._read_ahead():
            due_s = begin_s + (entry.log_ns - self._start_ns) / NS_PER_S / self._options.rate
            wait_s = due_s - time.monotonic()
            if self._cancelled.is_set() or (wait_s > 0 and self._cancelled.wait(wait_s)):
                return
            if self._clock_publisher is not None and entry.log_ns >= next_clock_ns:
                self._clock_publisher.publish(Clock(clock=Time(nanoseconds=entry.log_ns).to_msg()))
                next_clock_ns = entry.log_ns + int(NS_PER_S / self._options.clock_publish_frequency)
            publisher = self._publishers.get(entry.topic)
            if publisher is not None:
                publisher.publish(entry.data)

    def _read_ahead(self) -> Iterator[Entry]:
        """Entries from the bag, read by a thread so that decompression does not delay publishing."""
        entries: queue.Queue[Entry | BaseException | None] = queue.Queue(self._options.read_ahead_queue_size)
        stopped = threading.Event()

        def put(item: Entry | BaseException | None) -> bool:
            while not stopped.is_set():
                try:
                    entries.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def read() -> None:
            try:
                reader = SequentialReader()
                reader.open(self._storage_options)
                reader.set_filter(self._filter())
                reader.seek(self._start_ns)
                while reader.has_next():
                    entry = reader.read_next_entry()
                    if 0 <= self._until_ns < entry.log_ns or not put(entry):
                        break
                put(None)
            except Exception as error:
                # Raised again in the publishing thread.
                put(error)

        thread = threading.Thread(target=read, name="bag reader")
        thread.start()
        try:
            while (item := entries.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join()
