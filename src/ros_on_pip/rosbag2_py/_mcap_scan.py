"""What is in an MCAP file, also in one whose writer was killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader
from rclpy.duration import Duration
from rclpy.time import Time

from rosbag2_py._qos import profiles_from_text
from rosbag2_py._storage import (
    STORAGE_ID,
    BagMetadata,
    FileInformation,
    MessageDefinition,
    TopicInformation,
    TopicMetadata,
)


class FileScan:
    """Channels, schemas, counts and times of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: dict[int, Channel] = {}
        self.schemas: dict[int, Schema] = {}
        self.counts: dict[int, int] = {}
        self.first_ns: int | None = None
        self.last_ns = 0
        with path.open("rb") as stream:
            try:
                self.complete = self._from_summary(stream)
            except (McapError, OSError, ValueError, EOFError):
                self.complete = False
            if not self.complete:
                self._from_records(stream)

    def _from_summary(self, stream: BinaryIO) -> bool:
        summary = make_reader(stream).get_summary()
        if summary is None or summary.statistics is None:
            return False
        self.channels, self.schemas = dict(summary.channels), dict(summary.schemas)
        self.counts = dict(summary.statistics.channel_message_counts)
        if summary.statistics.message_count:
            self.first_ns = summary.statistics.message_start_time
            self.last_ns = summary.statistics.message_end_time
        return True

    def _from_records(self, stream: BinaryIO) -> None:
        for record in whole_records(stream):
            if isinstance(record, Channel):
                self.channels[record.id] = record
            elif isinstance(record, Schema):
                self.schemas[record.id] = record
            elif isinstance(record, Message):
                self.counts[record.channel_id] = self.counts.get(record.channel_id, 0) + 1
                self.first_ns = record.log_time if self.first_ns is None else min(self.first_ns, record.log_time)
                self.last_ns = max(self.last_ns, record.log_time)

    def topics(self) -> list[TopicInformation]:
        found = []
        for channel in self.channels.values():
            schema = self.schemas.get(channel.schema_id)
            topic = TopicMetadata(
                id=channel.id,
                name=channel.topic,
                type=schema.name if schema else "unknown",
                serialization_format=channel.message_encoding,
                offered_qos_profiles=profiles_from_text(channel.metadata.get("offered_qos_profiles", "")),
                type_description_hash=channel.metadata.get("topic_type_hash", ""),
            )
            found.append(TopicInformation(topic, self.counts.get(channel.id, 0)))
        return found

    def definitions(self) -> list[MessageDefinition]:
        return [
            MessageDefinition(schema.name, schema.encoding, schema.data.decode(errors="replace"))
            for schema in self.schemas.values()
        ]

    def information(self) -> FileInformation:
        first = self.first_ns or 0
        return FileInformation(
            path=self.path.name,
            starting_time=Time(nanoseconds=first),
            duration=Duration(nanoseconds=max(0, self.last_ns - first)),
            message_count=sum(self.counts.values()),
        )


class _Exact:
    """A stream that never gives fewer bytes than were asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        return data


def whole_records(stream: BinaryIO) -> Iterator[McapRecord]:
    """Records from the start of the file up to its end or to where it was cut off."""
    stream.seek(0)
    try:
        yield from StreamReader(_Exact(stream), record_size_limit=None).records
    except (McapError, EOFError, ValueError):
        # The writer was killed in the middle of a record: what is before it is good.
        return


def metadata_of_files(files: list[Path]) -> BagMetadata:
    """The metadata of a bag without metadata.yaml."""
    scans = [FileScan(file) for file in files]
    topics: dict[str, TopicInformation] = {}
    for scan in scans:
        for topic in scan.topics():
            name = topic.topic_metadata.name
            if name in topics:
                topics[name].message_count += topic.message_count
            else:
                topics[name] = topic
    starts = [scan.first_ns for scan in scans if scan.first_ns is not None]
    first = min(starts, default=0)
    last = max((scan.last_ns for scan in scans if scan.first_ns is not None), default=0)
    return BagMetadata(
        bag_size=sum(file.stat().st_size for file in files),
        storage_identifier=STORAGE_ID,
        relative_file_paths=[file.name for file in files],
        files=[scan.information() for scan in scans],
        duration=Duration(nanoseconds=last - first),
        starting_time=Time(nanoseconds=first),
        message_count=sum(topic.message_count for topic in topics.values()),
        topics_with_message_count=list(topics.values()),
    )
