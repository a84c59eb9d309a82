"""metadata.yaml of a bag: read and write."""

from pathlib import Path
from typing import Any

import yaml
from rclpy.duration import Duration
from rclpy.time import Time

from rosbag2_py._qos import profiles_from_text, qos_from_dict, qos_to_dict
from rosbag2_py._storage import BagMetadata, FileInformation, TopicInformation, TopicMetadata

FILE_NAME = "metadata.yaml"
ROOT = "rosbag2_bagfile_information"


class MetadataIo:
    """Reads and writes metadata.yaml in a bag's folder."""

    def metadata_file_exists(self, uri: str) -> bool:
        return (Path(uri) / FILE_NAME).is_file()

    def read_metadata(self, uri: str) -> BagMetadata:
        """The metadata of the bag in folder `uri`; raises RuntimeError if there is none or it cannot be read."""
        path = Path(uri) / FILE_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise RuntimeError(f"expected {FILE_NAME} in {uri}: {error}") from error
        metadata = self.deserialize_metadata(text)
        files = [Path(uri) / relative for relative in metadata.relative_file_paths]
        metadata.bag_size = sum(file.stat().st_size for file in files if file.is_file())
        return metadata

    def write_metadata(self, uri: str, metadata: BagMetadata) -> None:
        # Renamed into place: a bag never has half a metadata file.
        partial = Path(uri) / f".{FILE_NAME}"
        partial.write_text(self.serialize_metadata(metadata), encoding="utf-8")
        partial.replace(Path(uri) / FILE_NAME)

    def serialize_metadata(self, metadata: BagMetadata) -> str:
        return yaml.safe_dump({ROOT: _to_dict(metadata)}, sort_keys=False)

    def deserialize_metadata(self, text: str) -> BagMetadata:
        try:
            return _from_dict(yaml.safe_load(text)[ROOT])
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise RuntimeError(f"expected rosbag2 metadata: {type(error).__name__} {error}") from error


def _to_dict(metadata: BagMetadata) -> dict[str, Any]:
    return {
        "version": metadata.version,
        "storage_identifier": metadata.storage_identifier,
        "duration": {"nanoseconds": metadata.duration.nanoseconds},
        "starting_time": {"nanoseconds_since_epoch": metadata.starting_time.nanoseconds},
        "message_count": metadata.message_count,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.topic_metadata.name,
                    "type": topic.topic_metadata.type,
                    "serialization_format": topic.topic_metadata.serialization_format,
                    "offered_qos_profiles": [qos_to_dict(qos) for qos in topic.topic_metadata.offered_qos_profiles],
                    "type_description_hash": topic.topic_metadata.type_description_hash,
                },
                "message_count": topic.message_count,
            }
            for topic in metadata.topics_with_message_count
        ],
        "compression_format": metadata.compression_format,
        "compression_mode": metadata.compression_mode,
        "relative_file_paths": list(metadata.relative_file_paths),
        "files": [
            {
                "path": file.path,
                "starting_time": {"nanoseconds_since_epoch": file.starting_time.nanoseconds},
                "duration": {"nanoseconds": file.duration.nanoseconds},
                "message_count": file.message_count,
            }
            for file in metadata.files
        ],
        "custom_data": dict(metadata.custom_data) or None,
        "ros_distro": metadata.ros_distro,
    }


def _from_dict(values: dict[str, Any]) -> BagMetadata:
    return BagMetadata(
        version=int(values["version"]),
        storage_identifier=values["storage_identifier"],
        relative_file_paths=list(values["relative_file_paths"]),
        files=[
            FileInformation(
                path=file["path"],
                starting_time=Time(nanoseconds=file["starting_time"]["nanoseconds_since_epoch"]),
                duration=Duration(nanoseconds=file["duration"]["nanoseconds"]),
                message_count=file["message_count"],
            )
            for file in values.get("files") or []
        ],
        duration=Duration(nanoseconds=values["duration"]["nanoseconds"]),
        starting_time=Time(nanoseconds=values["starting_time"]["nanoseconds_since_epoch"]),
        message_count=values["message_count"],
        topics_with_message_count=[
            TopicInformation(_topic(index, entry["topic_metadata"]), entry["message_count"])
            for index, entry in enumerate(values["topics_with_message_count"] or [])
        ],
        compression_format=values.get("compression_format") or "",
        compression_mode=values.get("compression_mode") or "",
        custom_data=dict(values.get("custom_data") or {}),
        ros_distro=values.get("ros_distro") or "",
    )


def _topic(index: int, values: dict[str, Any]) -> TopicMetadata:
    profiles = values.get("offered_qos_profiles") or []
    return TopicMetadata(
        id=index,
        name=values["name"],
        type=values["type"],
        serialization_format=values["serialization_format"],
        # Text before version 9, a list of mappings since.
        offered_qos_profiles=profiles_from_text(profiles)
        if isinstance(profiles, str)
        else [qos_from_dict(entry) for entry in profiles],
        type_description_hash=values.get("type_description_hash") or "",
    )
