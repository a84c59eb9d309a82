"""Metadata of a bag, and a bag's metadata made anew."""

from pathlib import Path

from rosbag2_py._bag_folder import mcap_files, open_bag
from rosbag2_py._mcap_scan import metadata_of_files
from rosbag2_py._metadata import MetadataIo
from rosbag2_py._storage import BagMetadata, StorageOptions, check_storage


class Info:
    """Reads what is known of a bag."""

    def read_metadata(self, uri: str, storage_id: str = "") -> BagMetadata:
        """Metadata of a bag folder or .mcap file; raises RuntimeError if there is none."""
        check_storage(StorageOptions(uri=uri, storage_id=storage_id))
        return open_bag(uri)[0]


class Reindexer:
    """Writes metadata.yaml for a folder of .mcap files that has none, for example after a crash."""

    def reindex(self, storage_options: StorageOptions) -> None:
        check_storage(storage_options)
        files = mcap_files(Path(storage_options.uri))
        if not files:
            raise RuntimeError(f"expected .mcap files in '{storage_options.uri}'")
        MetadataIo().write_metadata(storage_options.uri, metadata_of_files(files))
