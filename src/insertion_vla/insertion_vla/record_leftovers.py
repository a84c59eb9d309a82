"""Bags in the folder of recordings that are not on its list: recovered ones are added, broken ones are named."""

from pathlib import Path

import rosbag2_py
from insertion_vla_core.episode_metadata import RECORDING_FILE, from_custom_data
from insertion_vla_core.recording_index import list_recording, read_index, recording

NS = 1_000_000_000
RECOVER = "ros2 run insertion_vla_training recover"


def list_leftovers(folder: Path) -> list[str]:
    """Put whole bags on the list; a sentence for each one that was cut off.

    Raises:
        OSError, ValueError: the list cannot be read or written.
    """
    listed = {entry.path for entry in read_index(folder)}
    sentences = []
    for bag in sorted(path.parent for path in folder.glob("*/*_0.mcap")):
        if bag.name in listed:
            continue
        if (bag / RECORDING_FILE).exists() or not rosbag2_py.MetadataIo().metadata_file_exists(str(bag)):
            sentences.append(f"{bag} was cut off; unless it is being recorded just now, save it: {RECOVER} {bag}")
            continue
        try:
            metadata = rosbag2_py.MetadataIo().read_metadata(str(bag))
            episode = from_custom_data(metadata.custom_data, str(bag))
        except (RuntimeError, ValueError):
            continue  # a bag of somebody else
        size = sum(file.stat().st_size for file in bag.glob("*.mcap"))
        start_ns, duration_s = metadata.starting_time.nanoseconds, metadata.duration.nanoseconds / NS
        entry = recording(episode, bag.name, start_ns, duration_s, metadata.message_count, size)
        list_recording(folder, entry)
    return sentences
