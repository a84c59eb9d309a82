"""Write a bag: a folder with metadata.yaml and one MCAP file or, split by size or time, several."""

import os
from pathlib import Path

from rclpy.duration import Duration
from rclpy.time import Time

from rosbag2_py._compression_options import CompressionMode, CompressionOptions, compression_mode_from_string
from rosbag2_py._mcap_file import McapFile, Preset, preset_named
from rosbag2_py._message_definitions import LocalMessageDefinitionSource
from rosbag2_py._metadata import MetadataIo
from rosbag2_py._storage import (
    STORAGE_ID,
    BagMetadata,
    ConverterOptions,
    FileInformation,
    MessageDefinition,
    StorageOptions,
    TopicInformation,
    TopicMetadata,
    check_storage,
)
from rosbag2_py._transport import RecordOptions

SEQUENCE_LIMIT = 1 << 32  # MCAP stores 32 bits
NS_PER_S = 10**9


def get_registered_writers() -> set[str]:
    """Storages that can be written."""
    return {STORAGE_ID}


def get_registered_compressors() -> set[str]:
    """Compression formats of SequentialCompressionWriter."""
    return {"zstd"}


def get_registered_serializers() -> set[str]:
    """Serialization formats besides CDR, which is stored as it comes: none."""
    return set()


class SequentialWriter:
    """Writes serialized messages into a new bag."""

    def __init__(self) -> None:
        self._file: McapFile | None = None
        self._definitions = LocalMessageDefinitionSource()

    def open(self, storage_options: StorageOptions, converter_options: ConverterOptions | None = None) -> None:
        """Create the bag's folder, which must not exist yet, and its first file.

        Raises:
            RuntimeError: The folder exists or cannot be made, or an option is not supported.
        """
        check_storage(storage_options)
        if converter_options is not None:
            formats = {converter_options.input_serialization_format, converter_options.output_serialization_format}
            if formats - {"", "cdr"}:
                raise RuntimeError(f"expected serialization format 'cdr', got {sorted(formats)}")
        self._preset = self._choose_preset(storage_options.storage_preset_profile)
        self._options = storage_options
        self._folder = Path(storage_options.uri)
        try:
            self._folder.mkdir(parents=True)
        except FileExistsError as error:
            raise RuntimeError(
                f"bag folder '{self._folder}' exists already; choose another name or remove it"
            ) from error
        except OSError as error:
            raise RuntimeError(f"cannot make the bag folder '{self._folder}': {error}") from error
        self._topics: dict[str, TopicInformation] = {}
        self._text_of: dict[str, MessageDefinition] = {}
        self._files: list[FileInformation] = []
        self._file = self._next_file()

    def _choose_preset(self, name: str) -> Preset:
        return preset_named(name)

    def create_topic(self, topic: TopicMetadata, message_definition: MessageDefinition | None = None) -> None:
        """Make a topic known before its first message; its definition is looked up unless it is given."""
        file = self._opened()
        if topic.name in self._topics:
            return
        if message_definition is None or not message_definition.encoded_message_definition:
            message_definition = self._definitions.get_full_text(topic.type)
        self._topics[topic.name] = TopicInformation(topic, 0)
        self._text_of[topic.name] = message_definition
        file.add_topic(topic, message_definition)

    def remove_topic(self, topic: TopicMetadata) -> None:
        """Forget a topic; only possible before its first message."""
        known = self._topics.get(topic.name)
        if known is None or known.message_count:
            raise RuntimeError(f"topic '{topic.name}' is not known or has messages already")
        del self._topics[topic.name], self._text_of[topic.name]

    def write(self, topic_name: str, message: bytes, time_stamp: int, sequence_number: int | None = None) -> None:
        """Append one serialized message, received at `time_stamp` [ns]."""
        self.record(topic_name, message, time_stamp, time_stamp, sequence_number)

    def record(
        self, topic_name: str, message: bytes, receive_ns: int, publish_ns: int, sequence_number: int | None = None
    ) -> None:
        """`write` with the time of publication too."""
        file = self._opened()
        topic = self._topics.get(topic_name)
        if topic is None:
            raise RuntimeError(f"topic '{topic_name}' is not known; call create_topic before the first message")
        if self._full(file, receive_ns):
            self.split_bagfile()
            file = self._opened()
        sequence = topic.message_count if sequence_number is None else sequence_number
        file.write(topic_name, message, receive_ns, publish_ns, sequence % SEQUENCE_LIMIT)
        topic.message_count += 1

    def split_bagfile(self) -> None:
        """Go on in a new file."""
        self._finish(self._opened())
        self._file = self._next_file()
        for name, topic in self._topics.items():
            self._file.add_topic(topic.topic_metadata, self._text_of[name])

    def take_snapshot(self) -> bool:
        raise RuntimeError("snapshot mode is not supported by this rosbag2_py")

    def close(self) -> None:
        """Finish the last file and write metadata.yaml; a second call does nothing."""
        if self._file is None:
            return
        # Closed from here on, whatever the disk says: __del__ must not try again.
        file, self._file = self._file, None
        try:
            self._finish(file)
        finally:
            MetadataIo().write_metadata(str(self._folder), self._metadata(self._files))

    def __del__(self) -> None:
        self.close()

    def _opened(self) -> McapFile:
        if self._file is None:
            raise RuntimeError("bag is not open; call open before writing")
        return self._file

    def _full(self, file: McapFile, receive_ns: int) -> bool:
        if not file.message_count:
            return False
        size, duration_s = self._options.max_bagfile_size, self._options.max_bagfile_duration
        return (0 < size <= file.size) or (0 < duration_s * NS_PER_S <= receive_ns - file.first_ns)

    def _next_file(self) -> McapFile:
        return McapFile(self._folder / f"{self._folder.name}_{len(self._files)}.mcap", self._preset)

    def _finish(self, file: McapFile) -> None:
        self._files.append(file.information())
        file.close(MetadataIo().serialize_metadata(self._metadata(self._files)))

    def _metadata(self, files: list[FileInformation]) -> BagMetadata:
        filled = [file for file in files if file.message_count]
        first = min((file.starting_time.nanoseconds for file in filled), default=0)
        last = max((file.starting_time.nanoseconds + file.duration.nanoseconds for file in filled), default=0)
        return BagMetadata(
            storage_identifier=STORAGE_ID,
            relative_file_paths=[file.path for file in files],
            files=list(files),
            duration=Duration(nanoseconds=last - first),
            starting_time=Time(nanoseconds=first),
            message_count=sum(file.message_count for file in files),
            topics_with_message_count=list(self._topics.values()),
            custom_data=dict(self._options.custom_data),
            ros_distro=os.environ.get("ROS_DISTRO", "jazzy"),
        )


class SequentialCompressionWriter(SequentialWriter):
    """A SequentialWriter whose MCAP chunks are compressed, so that every MCAP reader can read the bag."""

    def __init__(self, compression_options: CompressionOptions) -> None:
        super().__init__()
        if compression_options.compression_format not in ("", *get_registered_compressors()):
            raise RuntimeError(f"expected compression format 'zstd', got '{compression_options.compression_format}'")
        self._compressed = compression_options.compression_mode is not CompressionMode.NONE

    def _choose_preset(self, name: str) -> Preset:
        return preset_named(name or ("zstd_fast" if self._compressed else ""))


def writer_for(options: RecordOptions) -> SequentialWriter:
    """The writer that compresses, or does not, as the options ask for."""
    mode = compression_mode_from_string(options.compression_mode)
    if mode is CompressionMode.NONE and not options.compression_format:
        return SequentialWriter()
    if mode is CompressionMode.NONE:
        mode = CompressionMode.MESSAGE
    return SequentialCompressionWriter(CompressionOptions(options.compression_format or "zstd", mode))
