"""Read the messages of a bag in order."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mcap.reader import make_reader
from mcap.records import Channel, Message

from rosbag2_py._bag_folder import open_bag
from rosbag2_py._mcap_scan import FileScan, whole_records
from rosbag2_py._storage import (
    STORAGE_ID,
    BagMetadata,
    ConverterOptions,
    MessageDefinition,
    ReadOrder,
    ReadOrderSortBy,
    StorageFilter,
    StorageOptions,
    TopicMetadata,
    check_storage,
)


class Entry(NamedTuple):
    """One message and its place: `index` counts messages of equal time within a file."""

    file: int
    log_ns: int
    index: int
    topic: str
    data: bytes
    publish_ns: int


def get_registered_readers() -> set[str]:
    """Storages that can be read."""
    return {STORAGE_ID}


class SequentialReader:
    """Gives the messages file by file, ordered by receive time within each file."""

    def __init__(self) -> None:
        self._metadata: BagMetadata | None = None

    def open(self, storage_options: StorageOptions, converter_options: ConverterOptions | None = None) -> None:
        """Open the bag folder or .mcap file `storage_options.uri`; raises RuntimeError if there is none."""
        check_storage(storage_options)
        self._options = storage_options
        self._metadata, self._files = open_bag(storage_options.uri)
        self._order = ReadOrder()
        self._accepts = _everything
        self._start()

    def open_uri(self, uri: str) -> None:
        self.open(StorageOptions(uri=uri))

    def close(self) -> None:
        self._metadata = None
        self._entries = iter(())
        self._next = None

    def get_metadata(self) -> BagMetadata:
        return self._opened()

    def get_all_topics_and_types(self) -> list[TopicMetadata]:
        return [topic.topic_metadata for topic in self._opened().topics_with_message_count]

    def get_all_message_definitions(self) -> list[MessageDefinition]:
        self._opened()
        found = {
            definition.topic_type: definition for file in self._files for definition in FileScan(file).definitions()
        }
        return list(found.values())

    def set_filter(self, storage_filter: StorageFilter) -> None:
        """Read only topics that pass; reading goes on after the last message that was given out."""
        self._opened()
        self._accepts = _predicate(storage_filter)
        self._resume()

    def reset_filter(self) -> None:
        """Read all topics; reading goes on after the last message that was given out."""
        self._opened()
        self._accepts = _everything
        self._resume()

    def accepts(self, topic: str) -> bool:
        """Whether the filter lets a topic pass."""
        return self._accepts(topic)

    def set_read_order(self, read_order: ReadOrder) -> bool:
        """Choose the order, before the first message; False for orders that are not supported."""
        self._opened()
        if read_order.sort_by is ReadOrderSortBy.PublishedTimestamp:
            return False
        if read_order.sort_by is ReadOrderSortBy.File and read_order.reverse:
            return False
        self._order = read_order
        self._start()
        return True

    def seek(self, timestamp: int) -> None:
        """Go on with the first message received at or after `timestamp` [ns] (at or before it in reverse order)."""
        self._opened()
        self._start(timestamp)

    def has_next(self) -> bool:
        self._opened()
        if self._next is None:
            self._next = next((entry for entry in self._entries if self._accepts(entry.topic)), None)
        return self._next is not None

    def read_next(self) -> tuple[str, bytes, int]:
        """(topic, serialized message, receive time [ns]) of the next message; raises RuntimeError at the end."""
        entry = self.read_next_entry()
        return entry.topic, entry.data, entry.log_ns

    def read_next_entry(self) -> Entry:
        """The next message with its time of publication."""
        if not self.has_next():
            raise RuntimeError("no message left in the bag; ask has_next before read_next")
        entry, self._next = self._next, None
        assert entry is not None
        self._last = entry
        return entry

    def _opened(self) -> BagMetadata:
        if self._metadata is None:
            raise RuntimeError("bag is not open; call open before reading")
        return self._metadata

    def _start(self, from_ns: int | None = None) -> None:
        self._origin_ns = from_ns
        self._last: Entry | None = None
        self._next: Entry | None = None
        self._entries = self._all_entries(0, from_ns)

    def _resume(self) -> None:
        """Read again from behind the last message given out: ones skipped by the old filter may pass the new one."""
        self._next = None
        if self._last is None:
            self._entries = self._all_entries(0, self._origin_ns)
            return
        last = self._last
        order = [*range(len(self._files))]
        first_file = order.index(last.file) if not self._order.reverse else order[::-1].index(last.file)
        by_file = self._order.sort_by is ReadOrderSortBy.File
        again = self._all_entries(first_file, None if by_file else last.log_ns)
        self._entries = _after(again, last)

    def _all_entries(self, skip_files: int, from_ns: int | None) -> Iterator[Entry]:
        files = list(enumerate(self._files))
        for number, path in (files[::-1] if self._order.reverse else files)[skip_files:]:
            yield from self._entries_of(number, path, from_ns)

    def _entries_of(self, number: int, path: Path, from_ns: int | None) -> Iterator[Entry]:
        low = self._options.start_time_ns if self._options.start_time_ns >= 0 else None
        high = self._options.end_time_ns if self._options.end_time_ns >= 0 else None
        if from_ns is not None:
            if self._order.reverse:
                high = from_ns if high is None else min(high, from_ns)
            else:
                low = from_ns if low is None else max(low, from_ns)
        if low is not None and high is not None and low > high:
            return
        in_file_order = self._order.sort_by is ReadOrderSortBy.File
        last_ns, index = -1, 0
        for channel, message in _messages(path, low, high, in_file_order, self._order.reverse):
            # In file order every message needs its own place; equal times tell nothing there.
            index = index + 1 if in_file_order or message.log_time == last_ns else 0
            last_ns = message.log_time
            yield Entry(number, last_ns, index, channel.topic, message.data, message.publish_time)


class SequentialCompressionReader(SequentialReader):
    """The same: MCAP's chunk compression needs no other reader."""


def _everything(topic: str) -> bool:
    return True


def _predicate(rules: StorageFilter) -> Callable[[str], bool]:
    """Whether a topic passes; service events are topics of their own names."""
    wanted = {*rules.topics, *rules.services_events}
    unwanted = {*rules.exclude_topics, *rules.exclude_service_events}
    include = re.compile(rules.regex) if rules.regex else None
    exclude = re.compile(rules.regex_to_exclude) if rules.regex_to_exclude else None

    def accepts(topic: str) -> bool:
        if topic in unwanted or (exclude is not None and exclude.search(topic)):
            return False
        if not wanted and include is None:
            return True
        return topic in wanted or (include is not None and include.search(topic) is not None)

    return accepts


def _after(entries: Iterator[Entry], last: Entry) -> Iterator[Entry]:
    """Entries behind `last`."""
    place = (last.file, last.log_ns, last.index)
    for entry in entries:
        if (entry.file, entry.log_ns, entry.index) == place:
            break
    yield from entries


def _messages(
    path: Path, low_ns: int | None, high_ns: int | None, in_file_order: bool, reverse: bool
) -> Iterator[tuple[Channel, Message]]:
    """Messages received within [low_ns, high_ns]; a file that was cut off gives what is whole."""
    with path.open("rb") as stream:
        if FileScan(path).complete:
            reader = make_reader(stream)
            for _, channel, message in reader.iter_messages(
                log_time_order=not in_file_order, reverse=reverse, starting_at=low_ns, ending_at=high_ns
            ):
                yield channel, message
            return
        channels: dict[int, Channel] = {}
        found = []
        for record in whole_records(stream):
            if isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                if (low_ns is None or record.log_time >= low_ns) and (high_ns is None or record.log_time <= high_ns):
                    found.append((channels[record.channel_id], record))
        if not in_file_order:
            found.sort(key=lambda pair: pair[1].log_time, reverse=reverse)
        yield from found
