"""One MCAP file in rosbag2's layout while it is written; counts what goes in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mcap.writer import CompressionType, Writer

from insertion_vla_training.bags.metadata import MCAP_KEY, MCAP_RECORD, BagFile, BagMetadata, BagTopic, metadata_text

LIBRARY = "insertion_vla_training"
CHUNK_BYTES = 768 * 1024  # as rosbag2's presets: a killed writer loses little more than this
WRITE_BUFFER_BYTES = 1 << 20
SEQUENCE_LIMIT = 1 << 32  # MCAP stores 32 bits


class McapOut:
    """Messages go into zstd chunks; `close` writes what readers want at the end of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("xb", buffering=WRITE_BUFFER_BYTES)
        self._writer = Writer(self._stream, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile="ros2", library=LIBRARY)
        self._schemas: dict[tuple[str, str], int] = {}
        self._channels: dict[str, int] = {}
        self._topics: list[BagTopic] = []
        self._counts: dict[str, int] = {}
        self._first_ns: int | None = None
        self._last_ns = 0

    @property
    def topics(self) -> set[str]:
        """Names of the described topics."""
        return set(self._channels)

    def add_topic(self, topic: BagTopic, encoding: str, definition: str, extras: Mapping[str, str]) -> None:
        """Describe a topic, once, before its first message; `extras` are the channel's metadata."""
        key = (topic.type, definition)
        if key not in self._schemas:
            self._schemas[key] = self._writer.register_schema(topic.type, encoding, definition.encode())
        schema = self._schemas[key]
        self._channels[topic.name] = self._writer.register_channel(topic.name, "cdr", schema, dict(extras))
        self._topics.append(topic)
        self._counts[topic.name] = 0

    def write(self, topic: str, data: bytes, receive_ns: int, publish_ns: int, sequence: int | None = None) -> None:
        """One message of a described topic; its number in the topic unless a sequence is given."""
        count = self._counts[topic]
        number = (count if sequence is None else sequence) % SEQUENCE_LIMIT
        self._writer.add_message(self._channels[topic], receive_ns, data, publish_ns, number)
        self._counts[topic] = count + 1
        self._first_ns = receive_ns if self._first_ns is None else min(self._first_ns, receive_ns)
        self._last_ns = max(self._last_ns, receive_ns)

    def metadata(self, name: str, custom_data: Mapping[str, str]) -> BagMetadata:
        """The metadata of a bag of this one file, which will be called `name`."""
        file = BagFile(name, self._first_ns or 0, self._last_ns, sum(self._counts.values()))
        topics = tuple(replace(topic, count=self._counts[topic.name]) for topic in self._topics)
        return BagMetadata((file,), topics, dict(custom_data))

    def close(self, metadata: BagMetadata) -> None:
        """Finish the file, with the bag's metadata inside for readers that get only this file."""
        self._writer.add_metadata(MCAP_RECORD, {MCAP_KEY: metadata_text(metadata)})
        self._writer.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def abandon(self) -> None:
        """Close the file as it is; what is still in memory may be lost, as on a full disk."""
        # A full disk says no once more; the descriptor is released all the same.
        with suppress(OSError):
            self._stream.close()
