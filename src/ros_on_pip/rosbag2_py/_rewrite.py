"""Merge bags, and write them again with other topics, files or compression."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from rosbag2_py._reader import Entry, SequentialReader
from rosbag2_py._selection import Selection
from rosbag2_py._storage import StorageOptions, TopicMetadata
from rosbag2_py._transport import RecordOptions
from rosbag2_py._writer import SequentialWriter, writer_for

ROOT = "output_bags"
# Names that the keys of RecordOptions had in earlier distributions.
ALIASES = {"all": "all_topics", "exclude": "exclude_regex"}
STORAGE_KEYS = {entry.name for entry in fields(StorageOptions)}
RECORD_KEYS = {entry.name for entry in fields(RecordOptions)}


def bag_rewrite(input_options: Sequence[StorageOptions], output_config_file: str) -> None:
    """Read all input bags in one order of time and write the bags that a YAML file lists under `output_bags`.

    An output has the fields of StorageOptions and RecordOptions; without a choice of topics it gets all.

    Raises:
        RuntimeError: The file does not say what to write, or a bag cannot be read or written.
    """
    outputs = [_options(entry) for entry in _read(Path(output_config_file))]
    readers = []
    for options in input_options:
        reader = SequentialReader()
        reader.open(options)
        readers.append(reader)
    topics = {topic.name: topic for reader in readers for topic in reader.get_all_topics_and_types()}
    writers = [_start(storage, record, topics) for storage, record in outputs]
    for entry in heapq.merge(*map(_entries, readers), key=lambda entry: entry.log_ns):
        for writer, wanted in writers:
            if entry.topic in wanted:
                writer.record(entry.topic, entry.data, entry.log_ns, entry.publish_ns)
    for writer, _ in writers:
        writer.close()


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RuntimeError(f"cannot read {path}: {error}") from error
    outputs = content.get(ROOT) if isinstance(content, dict) else None
    if not isinstance(outputs, list) or not all(isinstance(entry, dict) and "uri" in entry for entry in outputs):
        raise RuntimeError(f"expected a list of bags with a uri under '{ROOT}' in {path}")
    return outputs


def _options(entry: dict[str, Any]) -> tuple[StorageOptions, RecordOptions]:
    named = {ALIASES.get(key, key): value for key, value in entry.items()}
    unknown = sorted(set(named) - STORAGE_KEYS - RECORD_KEYS)
    if unknown:
        raise RuntimeError(f"output bag '{entry['uri']}' has options that are not supported: {', '.join(unknown)}")
    storage = StorageOptions(**{key: value for key, value in named.items() if key in STORAGE_KEYS})
    record = RecordOptions(**{key: value for key, value in named.items() if key in RECORD_KEYS})
    storage.uri = str(storage.uri)
    if not (record.topics or record.topic_types or record.regex):
        record.all_topics = True
    return storage, record


def _start(
    storage: StorageOptions, record: RecordOptions, topics: dict[str, TopicMetadata]
) -> tuple[SequentialWriter, set[str]]:
    """A writer that knows the topics it gets, and their names."""
    selection = Selection(record)
    names, excluded = set(record.topics), set(record.exclude_topics)
    writer = writer_for(record)
    writer.open(storage)
    wanted = set()
    for name, topic in topics.items():
        # Also by names without a leading slash, as people write them.
        short = name.lstrip("/")
        if short in excluded:
            continue
        if short in names or selection.wants(name, topic.type, names, excluded):
            writer.create_topic(topic)
            wanted.add(name)
    return writer, wanted


def _entries(reader: SequentialReader) -> Iterator[Entry]:
    while reader.has_next():
        yield reader.read_next_entry()
