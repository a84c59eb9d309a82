"""Find the files and the metadata of a bag by its path."""

import re
from pathlib import Path

from rosbag2_py._mcap_scan import metadata_of_files
from rosbag2_py._metadata import MetadataIo
from rosbag2_py._storage import STORAGE_ID, BagMetadata


def mcap_files(folder: Path) -> list[Path]:
    """The .mcap files of a folder in the order of the number at the end of their names."""

    def number(path: Path) -> tuple[int, str]:
        match = re.search(r"_(\d+)$", path.stem)
        return (int(match[1]) if match else -1, path.name)

    return sorted(folder.glob("*.mcap"), key=number)


def open_bag(uri: str) -> tuple[BagMetadata, list[Path]]:
    """Metadata and files of the bag folder or .mcap file `uri`.

    A folder without metadata.yaml, left by a recorder that was killed, is read from its files.

    Raises:
        RuntimeError: There is no bag, or it is stored in another format.
    """
    path = Path(uri)
    if path.is_file():
        if path.suffix != ".mcap":
            raise RuntimeError(f"expected a bag folder or an .mcap file, got '{uri}'")
        return metadata_of_files([path]), [path]
    if not path.is_dir():
        raise RuntimeError(f"no bag at '{uri}': there is no such file or folder")
    if MetadataIo().metadata_file_exists(uri):
        metadata = MetadataIo().read_metadata(uri)
        if metadata.storage_identifier != STORAGE_ID:
            raise RuntimeError(f"bag '{uri}' is stored as '{metadata.storage_identifier}'; only MCAP is supported")
        if metadata.compression_mode not in ("", "NONE", "none"):
            raise RuntimeError(
                f"bag '{uri}' has compression mode '{metadata.compression_mode}', which is not supported; "
                "only MCAP's own chunk compression is"
            )
        files = [path / relative for relative in metadata.relative_file_paths]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise RuntimeError(f"bag '{uri}' lacks {', '.join(missing)}, which its metadata.yaml names")
        return metadata, files
    files = mcap_files(path)
    if not files:
        raise RuntimeError(f"no bag at '{uri}': expected metadata.yaml or .mcap files in this folder")
    return metadata_of_files(files), files
