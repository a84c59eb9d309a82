"""One bag, written from a thread of its own behind a bounded queue, so that a slow disk does not stop reception.

A reserve on the disk is given back when the disk is full, so that the bag can still be finished.
"""

import os
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import rosbag2_py

from insertion_vla.record_reception import Received

STORAGE = "mcap"
PRESET = "zstd_fast"  # chunks are compressed
RESERVE = ".reserve"
RESERVE_BYTES = 8 << 20


class BagThread:
    """A new bag in the folder `path`, which must not exist.

    Args:
        path: of the bag.
        types: type and hash of its description by absolute topic.
        custom_data: what the bag says of itself if it is never finished.
        most_bytes: of messages that wait for the disk; what comes beyond is lost and counted.
        on_failure: called once, in the thread, when the disk fails; afterwards everything is dropped.

    Attributes:
        failure: why writing ended early; empty while all is well.
        lost: messages that found no room or came after a failure, by topic.

    Raises:
        OSError: the folder cannot be made, or its disk has no room for the reserve.
    """

    def __init__(
        self,
        path: Path,
        types: Mapping[str, tuple[str, str]],
        custom_data: Mapping[str, str],
        most_bytes: int,
        on_failure: Callable[[], None],
    ) -> None:
        self.path = path
        self.failure = ""
        self.lost: Counter[str] = Counter()
        self._types = types
        self._most = most_bytes
        self._on_failure = on_failure
        self._queue: deque[Received] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = False
        self._writer = _opened(path, custom_data)
        self._known: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="bag", daemon=True)
        self._thread.start()

    def add(self, messages: list[Received]) -> None:
        """Queue messages for writing."""
        with self._changed:
            for message in messages:
                if self.failure or (self._bytes + len(message.data) > self._most and self._queue):
                    self.lost[message.topic] += 1
                    continue
                self._queue.append(message)
                self._bytes += len(message.data)
            self._changed.notify()

    def close(self, custom_data: Mapping[str, str]) -> None:
        """Write what waits, finish the bag and let it say `custom_data` of itself.

        Raises:
            OSError: the bag could not be finished; what was written can be recovered.
        """
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()
        (self.path / RESERVE).unlink(missing_ok=True)
        try:
            self._writer.close()
            if self.failure:
                _recount(self.path)
            describe(self.path, custom_data)
        except RuntimeError as error:  # of rosbag2_py
            raise OSError(str(error)) from error

    def discard(self) -> None:
        """Remove the bag."""
        with self._changed:
            self._ended = True
            self._queue.clear()
            self._changed.notify()
        self._thread.join()
        with suppress(OSError, RuntimeError):  # nobody wants the bag
            self._writer.close()
        shutil.rmtree(self.path)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                batch, self._queue, self._bytes = self._queue, deque(), 0
            if not batch:
                return
            try:
                self._write(batch)
            except Exception as error:
                self._fail(error, batch)
                return

    def _write(self, batch: deque[Received]) -> None:
        while batch:
            message = batch[0]
            if message.topic not in self._known:
                kind, type_hash = self._types[message.topic]
                topic = rosbag2_py.TopicMetadata(
                    id=len(self._known) + 1,
                    name=message.topic,
                    type=kind,
                    serialization_format="cdr",
                    type_description_hash=type_hash,
                )
                self._writer.create_topic(topic)
                self._known.add(message.topic)
            self._writer.write(message.topic, message.data, message.receive_ns)
            batch.popleft()

    def _fail(self, error: Exception, batch: deque[Received]) -> None:
        with self._changed:
            self.failure = str(error) or type(error).__name__
            for message in (*batch, *self._queue):
                self.lost[message.topic] += 1
            self._queue.clear()
        (self.path / RESERVE).unlink(missing_ok=True)
        self._on_failure()


def _opened(path: Path, custom_data: Mapping[str, str]) -> rosbag2_py.SequentialWriter:
    options = rosbag2_py.StorageOptions(
        uri=str(path), storage_id=STORAGE, storage_preset_profile=PRESET, custom_data=dict(custom_data)
    )
    writer = rosbag2_py.SequentialWriter()
    try:
        writer.open(options, rosbag2_py.ConverterOptions("cdr", "cdr"))
    except RuntimeError as error:  # of rosbag2_py
        raise OSError(f"cannot record into {path}: {error}") from error
    try:
        with (path / RESERVE).open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)
    except OSError as error:
        writer.close()
        shutil.rmtree(path)
        raise OSError(f"cannot record into {path}: {error.strerror}; free some space") from error
    return writer


def _recount(path: Path) -> None:
    """Let metadata.yaml name what is in the bag: where the disk failed, some of what the writer counted is missing."""
    reader = rosbag2_py.SequentialReader()
    reader.open(rosbag2_py.StorageOptions(uri=str(path), storage_id=STORAGE), rosbag2_py.ConverterOptions("cdr", "cdr"))
    counts: Counter[str] = Counter()
    while reader.has_next():
        counts[reader.read_next()[0]] += 1
    metadata = rosbag2_py.MetadataIo().read_metadata(str(path))
    metadata.message_count = counts.total()
    topics = metadata.topics_with_message_count
    for topic in topics:
        topic.message_count = counts[topic.topic_metadata.name]
    metadata.topics_with_message_count = topics
    rosbag2_py.MetadataIo().write_metadata(str(path), metadata)


def describe(path: Path, custom_data: Mapping[str, str]) -> None:
    """Exchange what a finished bag says of itself.

    Raises:
        RuntimeError, OSError: it has no metadata.yaml, or that cannot be written.
    """
    files = rosbag2_py.MetadataIo()
    metadata = files.read_metadata(str(path))
    metadata.custom_data = {**metadata.custom_data, **custom_data}
    files.write_metadata(str(path), metadata)
