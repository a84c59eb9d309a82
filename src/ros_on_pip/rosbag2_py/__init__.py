"""Bags of ROS 2 messages, stored as MCAP in the folder layout of rosbag2."""

from rosbag2_py._compression_options import (
    CompressionMode,
    CompressionOptions,
    compression_mode_from_string,
    compression_mode_to_string,
)
from rosbag2_py._info import Info, Reindexer
from rosbag2_py._message_definitions import LocalMessageDefinitionSource
from rosbag2_py._metadata import MetadataIo
from rosbag2_py._player import Player
from rosbag2_py._reader import SequentialCompressionReader, SequentialReader, get_registered_readers
from rosbag2_py._recorder import Recorder
from rosbag2_py._rewrite import bag_rewrite
from rosbag2_py._storage import (
    BagMetadata,
    ConverterOptions,
    FileInformation,
    MessageDefinition,
    ReadOrder,
    ReadOrderSortBy,
    StorageFilter,
    StorageOptions,
    TopicInformation,
    TopicMetadata,
    get_default_storage_id,
)
from rosbag2_py._transport import PlayOptions, RecordOptions
from rosbag2_py._writer import (
    SequentialCompressionWriter,
    SequentialWriter,
    get_registered_compressors,
    get_registered_serializers,
    get_registered_writers,
)

__all__ = [
    "BagMetadata",
    "CompressionMode",
    "CompressionOptions",
    "ConverterOptions",
    "FileInformation",
    "Info",
    "LocalMessageDefinitionSource",
    "MessageDefinition",
    "MetadataIo",
    "PlayOptions",
    "Player",
    "ReadOrder",
    "ReadOrderSortBy",
    "RecordOptions",
    "Recorder",
    "Reindexer",
    "SequentialCompressionReader",
    "SequentialCompressionWriter",
    "SequentialReader",
    "SequentialWriter",
    "StorageFilter",
    "StorageOptions",
    "TopicInformation",
    "TopicMetadata",
    "bag_rewrite",
    "compression_mode_from_string",
    "compression_mode_to_string",
    "get_default_storage_id",
    "get_registered_compressors",
    "get_registered_readers",
    "get_registered_serializers",
    "get_registered_writers",
]
