"""The newest messages of the graph, in memory: what came just before an episode, and the black box."""

from collections import deque
from collections.abc import Collection

from insertion_vla.record_reception import Received


class Memory:
    """The last seconds of all topics, bounded in bytes too; and the newest message of each latched topic.

    Args:
        span_ns: how long messages are kept.
        most_bytes: with more, the oldest go earlier.
    """

    def __init__(self, span_ns: int, most_bytes: int) -> None:
        self._span_ns = span_ns
        self._most = most_bytes
        self._messages: deque[Received] = deque()
        self._bytes = 0
        self._latched: dict[str, Received] = {}

    def extend(self, messages: Collection[Received], latched: Collection[str]) -> None:
        """Add messages as they came; those of latched topics are kept until the next one comes."""
        kept = self._messages
        for message in messages:
            kept.append(message)
            self._bytes += len(message.data)
            if message.topic in latched:
                self._latched[message.topic] = message
        newest_ns = kept[-1].receive_ns if kept else 0
        while kept and (self._bytes > self._most or newest_ns - kept[0].receive_ns > self._span_ns):
            self._bytes -= len(kept.popleft().data)

    def since(self, start_ns: int) -> list[Received]:
        """What came from `start_ns` on."""
        return [message for message in self._messages if message.receive_ns >= start_ns]

    def latched_at(self, start_ns: int) -> list[Received]:
        """What a subscriber gets at once that joins at `start_ns`: older latched messages, received then."""
        older = [message for message in self._latched.values() if message.receive_ns < start_ns]
        return [message._replace(receive_ns=start_ns, sequence=None) for message in older]

    @property
    def oldest_ns(self) -> int:
        """Receive time of the oldest message; 0 without any."""
        return self._messages[0].receive_ns if self._messages else 0
