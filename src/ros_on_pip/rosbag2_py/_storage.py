"""Plain descriptions: how to open a bag, what is in it, what to read from it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.time import Time

STORAGE_ID = "mcap"
METADATA_VERSION = 9


def get_default_storage_id() -> str:
    """The storage used where none is named."""
    return STORAGE_ID


@dataclass
class StorageOptions:
    """Where and how a bag is stored.

    Attributes:
        uri: Folder of the bag; for reading also one .mcap file.
        storage_id: 'mcap' or empty.
        max_bagfile_size: [bytes] start a new file beyond this size; 0 never.
        max_bagfile_duration: [s] start a new file after this time; 0 never.
        max_cache_size: [bytes] messages held in memory while recording; 0 means 100 MiB.
        storage_preset_profile: '', 'none', 'fastwrite', 'zstd_fast' or 'zstd_small'.
        start_time_ns, end_time_ns: Read only messages within these times; negative is no limit.
        custom_data: Key-value pairs for the bag's metadata.
    """

    uri: str
    storage_id: str = ""
    max_bagfile_size: int = 0
    max_bagfile_duration: int = 0
    max_cache_size: int = 0
    storage_preset_profile: str = ""
    storage_config_uri: str = ""
    snapshot_mode: bool = False
    start_time_ns: int = -1
    end_time_ns: int = -1
    custom_data: dict[str, str] = field(default_factory=dict)


@dataclass
class ConverterOptions:
    """Serialization formats; the bag stores messages as they come, which is CDR."""

    input_serialization_format: str = "cdr"
    output_serialization_format: str = "cdr"


@dataclass
class StorageFilter:
    """Which topics to read: named ones, or ones that match a regular expression; exclusions win."""

    topics: list[str] = field(default_factory=list)
    services_events: list[str] = field(default_factory=list)
    regex: str = ""
    exclude_topics: list[str] = field(default_factory=list)
    exclude_service_events: list[str] = field(default_factory=list)
    regex_to_exclude: str = ""


class ReadOrderSortBy(Enum):
    """What messages are sorted by on reading."""

    ReceivedTimestamp = 0
    PublishedTimestamp = 1
    File = 2


@dataclass
class ReadOrder:
    """Order of reading: by receive time (or position in the file), forwards or backwards."""

    sort_by: ReadOrderSortBy = ReadOrderSortBy.ReceivedTimestamp
    reverse: bool = False


@dataclass
class MessageDefinition:
    """Text of a message type with all types it uses."""

    topic_type: str = ""
    encoding: str = ""
    encoded_message_definition: str = ""
    type_hash: str = ""


@dataclass
class TopicMetadata:
    """A topic of a bag.

    Attributes:
        offered_qos_profiles: rclpy QoSProfile of each publisher at the time of recording.
        type_description_hash: RIHS01 hash of the type, empty if unknown.
    """

    id: int = 0
    name: str = ""
    type: str = ""
    serialization_format: str = "cdr"
    offered_qos_profiles: list[QoSProfile] = field(default_factory=list)
    type_description_hash: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, int):
            raise TypeError(f"expected a whole number as id of a topic, got {self.id!r}; name the arguments")
        if not self.name or not self.type:
            raise TypeError(f"expected the name and type of a topic, got name='{self.name}', type='{self.type}'")

    def equals(self, other: "TopicMetadata") -> bool:
        return self == other


@dataclass
class TopicInformation:
    """A topic and the number of its messages."""

    topic_metadata: TopicMetadata
    message_count: int


@dataclass
class FileInformation:
    """One file of a bag."""

    path: str
    starting_time: Time
    duration: Duration
    message_count: int


@dataclass
class BagMetadata:
    """What metadata.yaml says of a bag; `bag_size` in bytes is measured, not stored."""

    version: int = METADATA_VERSION
    bag_size: int = 0
    storage_identifier: str = ""
    relative_file_paths: list[str] = field(default_factory=list)
    files: list[FileInformation] = field(default_factory=list)
    duration: Duration = field(default_factory=Duration)
    starting_time: Time = field(default_factory=Time)
    message_count: int = 0
    topics_with_message_count: list[TopicInformation] = field(default_factory=list)
    compression_format: str = ""
    compression_mode: str = ""
    custom_data: dict[str, str] = field(default_factory=dict)
    ros_distro: str = ""

    def __str__(self) -> str:
        # Imported here: the formatter needs these classes.
        from rosbag2_py._format import format_bag_metadata

        return format_bag_metadata(self)


def check_storage(options: StorageOptions) -> None:
    """Refuse what this package cannot do, before any file is touched."""
    unsupported: dict[str, Any] = {
        "storage_config_uri": options.storage_config_uri,
        "snapshot_mode": options.snapshot_mode,
    }
    if options.storage_id not in ("", STORAGE_ID):
        raise RuntimeError(
            f"expected storage_id '{STORAGE_ID}', got '{options.storage_id}': only MCAP bags are supported"
        )
    for name, value in unsupported.items():
        if value:
            raise RuntimeError(f"{name} is not supported by this rosbag2_py")
