"""One MCAP file while it is written."""

from dataclasses import dataclass
from pathlib import Path

from mcap.writer import CompressionType, Writer
from rclpy.duration import Duration
from rclpy.time import Time

from rosbag2_py._qos import profiles_to_text
from rosbag2_py._storage import FileInformation, MessageDefinition, TopicMetadata

PROFILE = "ros2"
METADATA_RECORD = "rosbag2"
WRITE_BUFFER_BYTES = 1 << 20
CHUNK_BYTES = 768 * 1024
FLUSH_NS = 1_000_000_000  # of recorded time: so much is lost when the process is killed


@dataclass(frozen=True)
class Preset:
    """How chunks are written."""

    compression: CompressionType = CompressionType.NONE
    chunk_bytes: int = CHUNK_BYTES
    chunked: bool = True


PRESETS = {
    "": Preset(),
    "none": Preset(),
    "fastwrite": Preset(chunked=False),
    "zstd_fast": Preset(CompressionType.ZSTD),
    "zstd_small": Preset(CompressionType.ZSTD, 4 * 1024 * 1024),
}


def preset_named(name: str) -> Preset:
    """The preset of that name; raises RuntimeError for an unknown one."""
    if name not in PRESETS:
        known = ", ".join(key for key in PRESETS if key)
        raise RuntimeError(f"expected a storage preset profile ({known}), got '{name}'")
    return PRESETS[name]


class McapFile:
    """Channels are made on first use; `close` writes the summary."""

    def __init__(self, path: Path, preset: Preset) -> None:
        self.path = path
        self._stream = path.open("wb", buffering=WRITE_BUFFER_BYTES)
        self._writer = Writer(
            self._stream, chunk_size=preset.chunk_bytes, compression=preset.compression, use_chunking=preset.chunked
        )
        self._writer.start(profile=PROFILE, library="ros_on_pip rosbag2_py")
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self.message_count = 0
        self.first_ns = 0
        self.last_ns = 0
        self._flushed_ns = 0

    @property
    def size(self) -> int:
        """[bytes] written so far, without the open chunk."""
        return self._stream.tell()

    def add_topic(self, topic: TopicMetadata, definition: MessageDefinition) -> None:
        if topic.type not in self._schemas:
            self._schemas[topic.type] = self._writer.register_schema(
                name=topic.type,
                encoding=definition.encoding if definition.encoding != "unknown" else "",
                data=definition.encoded_message_definition.encode(),
            )
        self._channels[topic.name] = self._writer.register_channel(
            topic=topic.name,
            message_encoding=topic.serialization_format,
            schema_id=self._schemas[topic.type],
            metadata={
                "offered_qos_profiles": profiles_to_text(topic.offered_qos_profiles),
                "topic_type_hash": topic.type_description_hash,
            },
        )

    def write(self, topic_name: str, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        self._writer.add_message(
            channel_id=self._channels[topic_name],
            log_time=log_ns,
            data=data,
            publish_time=publish_ns,
            sequence=sequence,
        )
        self.first_ns = min(self.first_ns, log_ns) if self.message_count else log_ns
        self.last_ns = max(self.last_ns, log_ns)
        self.message_count += 1
        if abs(log_ns - self._flushed_ns) > FLUSH_NS:
            if self._flushed_ns:
                self._writer.flush()
            self._flushed_ns = log_ns

    def close(self, metadata_yaml: str) -> None:
        """Finish the file, with the bag's metadata inside for readers that get only this file."""
        self._writer.add_metadata(METADATA_RECORD, {"serialized_metadata": metadata_yaml})
        self._writer.finish()
        self._stream.close()

    def information(self) -> FileInformation:
        return FileInformation(
            path=self.path.name,
            starting_time=Time(nanoseconds=self.first_ns),
            duration=Duration(nanoseconds=max(0, self.last_ns - self.first_ns)),
            message_count=self.message_count,
        )
