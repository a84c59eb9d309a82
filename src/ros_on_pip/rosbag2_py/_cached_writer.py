"""A writer behind a bounded cache and a thread, so that a slow disk does not stop reception."""

import threading
from collections import Counter, deque

from rosbag2_py._storage import MessageDefinition, TopicMetadata
from rosbag2_py._writer import SequentialWriter

DEFAULT_CACHE_BYTES = 100 * 1024 * 1024


class CachedWriter:
    """Takes messages at once and writes them from its own thread.

    Attributes:
        lost: Messages per topic that did not fit into the cache.
        failure: The error that ended writing, None while all is well.
    """

    def __init__(self, writer: SequentialWriter, cache_bytes: int) -> None:
        self._writer = writer
        self._limit = cache_bytes or DEFAULT_CACHE_BYTES
        self._queue: deque[tuple[str, bytes, int, int, int | None]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closing = False
        self.lost: Counter[str] = Counter()
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="bag writer")
        self._thread.start()

    def create_topic(self, topic: TopicMetadata, definition: MessageDefinition | None = None) -> None:
        with self._writing:
            self._writer.create_topic(topic, definition)

    def add(self, topic: str, data: bytes, receive_ns: int, publish_ns: int, sequence: int | None) -> None:
        """Queue one message; it is counted as lost where the cache is full."""
        with self._changed:
            if self._bytes + len(data) > self._limit and self._queue:
                self.lost[topic] += 1
                return
            self._queue.append((topic, data, receive_ns, publish_ns, sequence))
            self._bytes += len(data)

    def flush(self) -> None:
        """Let the thread write what is queued."""
        with self._changed:
            if self._queue:
                self._changed.notify()

    def close(self) -> None:
        """Write everything that is queued and finish the bag."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        try:
            self._writer.close()
        except OSError as error:
            self.failure = self.failure or error

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                batch, self._queue, self._bytes = self._queue, deque(), 0
                if not batch:
                    return
            try:
                with self._writing:
                    for entry in batch:
                        self._writer.record(*entry)
            except Exception as error:
                # The disk is full or gone, or a message is broken: the recorder sees it, stops and says so.
                self.failure = error
                return
