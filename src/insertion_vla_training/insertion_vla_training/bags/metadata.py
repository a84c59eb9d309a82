"""metadata.yaml of a bag in the layout of rosbag2 (version 9), read and written without ROS.

What an episode says of itself is in its `custom_data`: see insertion_vla_core.episode_metadata.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from insertion_vla_core.episode_metadata import EpisodeMetadata, from_custom_data, to_custom_data

from insertion_vla_training.bags.error import BagError

__all__ = ["BagFile", "BagMetadata", "BagTopic", "EpisodeMetadata", "from_custom_data", "to_custom_data"]

FILE_NAME = "metadata.yaml"
ROOT = "rosbag2_bagfile_information"
MCAP_RECORD = "rosbag2"  # an MCAP file carries the same text, under these two names
MCAP_KEY = "serialized_metadata"
VERSION = 9
ROS_DISTRO = "jazzy"
# The same rules; ten times as fast where libyaml is built in.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FOREVER = {"sec": 9223372036, "nsec": 854775807}  # as rosbag2 writes an unset duration


@dataclass(frozen=True)
class BagTopic:
    """A topic; `latched`: a subscriber that comes late gets the newest message."""

    name: str
    type: str
    count: int = 0
    latched: bool = False
    type_hash: str = ""


@dataclass(frozen=True)
class BagFile:
    """One MCAP file of a bag: its name, the times [ns] of its first and last message, how many it has."""

    name: str
    first_ns: int
    last_ns: int
    count: int


@dataclass(frozen=True)
class BagMetadata:
    """What metadata.yaml says; `custom_data` are texts."""

    files: tuple[BagFile, ...]
    topics: tuple[BagTopic, ...]
    custom_data: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(file.count for file in self.files)

    @property
    def first_ns(self) -> int:
        return min((file.first_ns for file in self.files if file.count), default=0)

    @property
    def last_ns(self) -> int:
        return max((file.last_ns for file in self.files if file.count), default=0)


def metadata_text(metadata: BagMetadata) -> str:
    """The YAML of a bag's metadata.yaml."""
    values = {
        "version": VERSION,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": metadata.last_ns - metadata.first_ns},
        "starting_time": {"nanoseconds_since_epoch": metadata.first_ns},
        "message_count": metadata.count,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [_qos(topic.latched)],
                    "type_description_hash": topic.type_hash,
                },
                "message_count": topic.count,
            }
            for topic in metadata.topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in metadata.files],
        "files": [
            {
                "path": file.name,
                "starting_time": {"nanoseconds_since_epoch": file.first_ns},
                "duration": {"nanoseconds": file.last_ns - file.first_ns},
                "message_count": file.count,
            }
            for file in metadata.files
        ],
        "custom_data": dict(metadata.custom_data) or None,
        "ros_distro": ROS_DISTRO,
    }
    return yaml.dump({ROOT: values}, Dumper=DUMPER, sort_keys=False)


def qos_text(latched: bool) -> str:
    """The quality of service as an MCAP channel carries it."""
    return yaml.dump([_qos(latched)], Dumper=DUMPER, sort_keys=False)


def _qos(latched: bool) -> dict[str, Any]:
    return {
        "history": "keep_last",
        "depth": 1 if latched else 1000,
        "reliability": "reliable",
        "durability": "transient_local" if latched else "volatile",
        "deadline": dict(FOREVER),
        "lifespan": dict(FOREVER),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(FOREVER),
        "avoid_ros_namespace_conventions": False,
    }


def is_latched(qos: Any) -> bool:
    """Whether any publisher of a topic was latched; takes both forms of offered_qos_profiles."""
    profiles = _parsed_qos(qos) if isinstance(qos, str) else qos
    return any(profile.get("durability") in ("transient_local", 1) for profile in profiles or [])


@lru_cache(maxsize=256)  # all channels of all bags carry few different texts
def _parsed_qos(text: str) -> Any:
    return yaml.load(text, LOADER)


def parse_metadata(text: str, place: str) -> BagMetadata:
    """The metadata behind the YAML text; `place` names where it stands.

    Raises:
        BagError: it is not that of an MCAP bag.
    """
    try:
        values = yaml.load(text, LOADER)[ROOT]
        storage, mode = str(values["storage_identifier"]), str(values.get("compression_mode") or "")
        if storage != "mcap":
            raise BagError(f"expected a bag stored as mcap, {place} is stored as {storage}; use `ros2 bag convert`")
        if mode.upper() not in ("", "NONE"):
            raise BagError(
                f"expected MCAP's own compression, {place} has rosbag2's mode {mode}; use `ros2 bag convert`"
            )
        return BagMetadata(
            files=tuple(_file(entry) for entry in values.get("files") or []),
            topics=tuple(_topic(entry) for entry in values["topics_with_message_count"] or []),
            custom_data={str(key): str(text) for key, text in (values.get("custom_data") or {}).items()},
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, BagError):
            raise
        raise BagError(
            f"expected rosbag2's metadata in {place}, could not read it: {type(error).__name__} {error}; "
            "recover makes it anew"
        ) from error


def _file(entry: dict[str, Any]) -> BagFile:
    name = str(entry["path"])
    if Path(name).name != name or name in ("", ".", ".."):
        raise BagError(f"expected files in the bag's own folder, got '{name}'")
    first_ns = int(entry["starting_time"]["nanoseconds_since_epoch"])
    return BagFile(name, first_ns, first_ns + int(entry["duration"]["nanoseconds"]), int(entry["message_count"]))


def _topic(entry: dict[str, Any]) -> BagTopic:
    topic = entry["topic_metadata"]
    return BagTopic(
        name=str(topic["name"]),
        type=str(topic["type"]),
        count=int(entry["message_count"]),
        latched=is_latched(topic.get("offered_qos_profiles")),
        type_hash=str(topic.get("type_description_hash") or ""),
    )


def read_metadata(folder: Path) -> BagMetadata:
    """The metadata of the bag in a folder.

    Raises:
        BagError: there is none, or it cannot be used.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BagError(
            f"expected {FILE_NAME} in {folder}, found none: it is no bag, or its recorder was killed; "
            f"try: recover {folder}"
        ) from error
    except UnicodeDecodeError as error:
        raise BagError(f"expected text in {path}: {error}; try: recover {folder}") from error
    return parse_metadata(text, str(path))


def write_metadata(folder: Path, metadata: BagMetadata) -> None:
    """Write metadata.yaml; a bag never has half of one."""
    _write(folder, metadata_text(metadata))


def replace_custom_data(folder: Path, custom_data: Mapping[str, str]) -> None:
    """Change what a finished bag says of its episode (a label given later, a verdict); everything else stays.

    Raises:
        BagError: there is no bag, or its metadata cannot be used.
    """
    read_metadata(folder)
    values = yaml.safe_load((folder / FILE_NAME).read_text(encoding="utf-8"))
    values[ROOT]["custom_data"] = dict(custom_data) or None
    _write(folder, yaml.dump(values, Dumper=DUMPER, sort_keys=False))


def _write(folder: Path, text: str) -> None:
    partial = folder / f".{FILE_NAME}"
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(folder / FILE_NAME)
