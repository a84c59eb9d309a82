"""Record topics of the running graph into a bag."""

import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosidl_runtime_py.utilities import get_message

from rosbag2_py._cached_writer import CachedWriter
from rosbag2_py._cancel_flag import CancelFlag
from rosbag2_py._qos import recording_qos
from rosbag2_py._raw_subscriptions import GATHER_S, RawSubscriptions
from rosbag2_py._selection import Selection
from rosbag2_py._storage import ConverterOptions, StorageOptions, TopicMetadata
from rosbag2_py._transport import RecordOptions, check_log_level, own_node
from rosbag2_py._writer import writer_for

TAKE_TIMEOUT_S = 0.1


class Recorder:
    """Records until `cancel`; topics that appear later are recorded too."""

    _cancelled = CancelFlag()

    def __init__(self, log_level: str = "info") -> None:
        check_log_level(log_level)
        self._log_level = log_level
        Recorder._cancelled.clear()

    @staticmethod
    def cancel() -> None:
        """End the recording that runs; its bag is closed properly."""
        Recorder._cancelled.set()

    def record(
        self, storage_options: StorageOptions, record_options: RecordOptions, node_name: str = "rosbag2_recorder"
    ) -> None:
        """Record into a new bag, blocking until `cancel` is called.

        Raises:
            RuntimeError: The options are wrong, the bag exists, or the disk failed (what was written is kept).
        """
        selection = Selection(record_options)
        writer = writer_for(record_options)
        writer.open(storage_options, ConverterOptions("cdr", "cdr"))
        cache = CachedWriter(writer, storage_options.max_cache_size)
        try:
            with own_node(node_name, self._log_level) as node:
                _Session(node, selection, record_options, cache).run(Recorder._cancelled)
        finally:
            cache.close()
            Recorder._cancelled.clear()
        if cache.failure is not None:
            raise RuntimeError(f"recording ended: cannot write to '{storage_options.uri}': {cache.failure}")


class _Session:
    """One recording: discovery and reception in the calling thread, writing in the cache's."""

    def __init__(self, node: Node, selection: Selection, options: RecordOptions, cache: CachedWriter) -> None:
        self._node = node
        self._selection = selection
        self._options = options
        self._cache = cache
        self._log = node.get_logger()
        self._subscriptions = RawSubscriptions(node)
        self._recorded: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._unmatched: dict[str, int] = {}
        self._names = {node.resolve_topic_name(name) for name in options.topics}
        self._excluded = {node.resolve_topic_name(name) for name in options.exclude_topics}

    def run(self, cancelled: CancelFlag) -> None:
        self._log.info("Recording...")
        poll_s = self._options.topic_polling_interval.total_seconds()
        next_poll_s = 0.0
        discovering = True
        while not cancelled.is_set() and self._cache.failure is None:
            now_s = time.monotonic()
            if discovering and now_s >= next_poll_s:
                self._discover()
                next_poll_s = now_s + poll_s
                discovering = not self._options.is_discovery_disabled
            if self._subscriptions.take(min(poll_s, TAKE_TIMEOUT_S), self._cache.add):
                self._cache.flush()
                # Wakes up fewer times for more messages each.
                cancelled.wait(GATHER_S)
        self._subscriptions.take(0.0, self._cache.add)
        self._log.info("Recording stopped")
        for topic, count in self._cache.lost.items():
            self._log.warning(f"{count} messages of {topic} were lost: the disk is slower than the cache allows")

    def _discover(self) -> None:
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._recorded:
                self._check_match(topic)
            elif topic not in self._refused and self._selection.wants(topic, types[0], self._names, self._excluded):
                self._subscribe(topic, types)

    def _subscribe(self, topic: str, types: list[str]) -> None:
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers and not self._options.include_unpublished_topics:
            return
        message_type = None
        if len(types) > 1:
            reason = f"it has several types: {', '.join(types)}"
        else:
            try:
                message_type = get_message(types[0])
                reason = ""
            except (ImportError, AttributeError, ValueError) as error:
                reason = f"its type {types[0]} is not installed here: {error}"
        if message_type is None:
            self._refused.add(topic)
            self._log.warning(f"topic '{topic}' is not recorded: {reason}")
            return
        offered = [info.qos_profile for info in publishers]
        qos = self._options.topic_qos_profile_overrides.get(topic) or recording_qos(offered)
        self._cache.create_topic(
            TopicMetadata(
                id=len(self._recorded) + 1,
                name=topic,
                type=types[0],
                serialization_format="cdr",
                offered_qos_profiles=offered,
                type_description_hash=str(publishers[0].topic_type_hash) if publishers else "",
            )
        )
        self._recorded[topic] = self._subscriptions.add(topic, message_type, qos)
        self._log.info(f"Subscribed to topic '{topic}'")

    def _check_match(self, topic: str) -> None:
        """Take weaker guarantees where a later publisher cannot serve ours, instead of missing it."""
        subscription = self._recorded[topic]
        publishers = self._node.get_publishers_info_by_topic(topic)
        missing = len(publishers) - subscription.get_publisher_count()
        # A publisher is listed shortly before it is matched: only the second look counts.
        if missing <= 0 or self._unmatched.get(topic) != len(publishers):
            self._unmatched[topic] = len(publishers)
            return
        wanted: QoSProfile = recording_qos([info.qos_profile for info in publishers])
        if topic in self._options.topic_qos_profile_overrides or _same(wanted, subscription.qos_profile):
            return
        self._log.warning(f"publishers of '{topic}' offer different QoS; subscribing again with what all of them offer")
        self._subscriptions.take(0.0, self._cache.add)
        self._subscriptions.remove(topic)
        self._recorded[topic] = self._subscriptions.add(topic, subscription.msg_type, wanted)


def _same(a: QoSProfile, b: QoSProfile) -> bool:
    return a.reliability == b.reliability and a.durability == b.durability
