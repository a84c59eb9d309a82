"""Several streams put into one order of time."""

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.duration import Duration
from rclpy.time import Time

from message_filters.simple_filter import SimpleFilter


@dataclass
class QueueStatus:
    """Counters of one input."""

    active: bool
    queue_size: int
    msgs_processed: int
    msgs_dropped: int


class _Input:
    """Messages of one input that wait for their turn, and when its next one is due."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, Any]] = []
        self.period_ns = 0
        self.next_ns: int | None = None
        self.active = False
        self.processed = 0
        self.dropped = 0
        self.output = SimpleFilter()
        self.arrival = itertools.count()

    def due_ns(self) -> int | None:
        """Time of the first waiting message, else of the one expected next, else None: nobody waits for this input."""
        if self.heap:
            self.active = True
            self.next_ns = self.heap[0][0] + self.period_ns
            return self.heap[0][0]
        return self.next_ns if self.active else None


class InputAligner(SimpleFilter):
    """Signals the messages of all inputs in the order of their stamps.

    A message is held until every active input has a later one waiting or is not due before it. An input that stays
    silent for `timeout` behind the newest stamp is no longer waited for until it speaks again. Messages older than
    what was already signalled are dropped.

    Args:
        timeout: How long the others wait for a silent input.
        filters: The inputs, as a list or one by one.
    """

    def __init__(self, timeout: Duration, *inputs: SimpleFilter, filters: Sequence[SimpleFilter] = ()) -> None:
        super().__init__()
        self.timeout = timeout
        self.name = ""
        self.lock = threading.RLock()
        self.event_queues: list[_Input] = []
        self.input_connections: list[tuple[SimpleFilter, int]] = []
        self.dispatch_timer: Any = None
        self.last_in_ns = 0
        self.last_out_ns = 0
        if inputs or filters:
            self.connectInput(*inputs, filters=filters)

    def connectInput(self, *inputs: SimpleFilter, filters: Sequence[SimpleFilter] = ()) -> None:
        """Replace all inputs, together with the callbacks registered for them."""
        with self.lock:
            self.disconnectAll()
            sources = [*inputs, *filters]
            self.event_queues = [_Input() for _ in sources]
            self.input_connections = [(f, f.registerCallback(self.add, index)) for index, f in enumerate(sources)]

    def disconnectAll(self) -> None:
        """Stop listening to the inputs."""
        for source, connection in self.input_connections:
            source.unregisterCallback(connection)
        self.input_connections = []

    def registerCallback(self, index: int, callback: Callable[..., Any], *args: Any) -> int:
        """Call `callback(message, *args)` with the messages of input `index`, in common order."""
        return self.event_queues[index].output.registerCallback(callback, *args)

    def setName(self, name: str) -> None:
        self.name = name

    def getName(self) -> str:
        return self.name

    def setInputPeriod(self, index: int, period: Duration) -> None:
        """Tell the expected time between two messages of an input: nobody waits for it before that."""
        self.event_queues[index].period_ns = period.nanoseconds

    def getQueueStatus(self, index: int) -> QueueStatus:
        source = self.event_queues[index]
        return QueueStatus(source.active, len(source.heap), source.processed, source.dropped)

    def setupDispatchTimer(self, node: Any, update_rate: Duration) -> None:
        """Dispatch every `update_rate` on a timer of `node`."""
        self.dispatch_timer = node.create_timer(update_rate.nanoseconds / 1e9, self.dispatchMessages)

    def add(self, msg: Any, queue_index: int) -> None:
        """Take one message of input `queue_index`."""
        stamp_ns = Time.from_msg(msg.header.stamp).nanoseconds
        with self.lock:
            source = self.event_queues[queue_index]
            if stamp_ns < self.last_out_ns:
                source.dropped += 1
                return
            self.last_in_ns = max(self.last_in_ns, stamp_ns)
            heapq.heappush(source.heap, (stamp_ns, next(source.arrival), msg))

    def dispatchMessages(self) -> None:
        """Signal everything whose turn has come."""
        with self.lock:
            while any(source.heap for source in self.event_queues) and self._dispatch_first():
                pass

    def _dispatch_first(self) -> bool:
        """One step: signal the earliest message or give up a silent input; False where the others must wait."""
        due = [(due_ns, source) for source in self.event_queues if (due_ns := source.due_ns()) is not None]
        due_ns, source = min(due, key=lambda pair: pair[0])
        if source.heap:
            _, _, msg = heapq.heappop(source.heap)
            self.last_out_ns = due_ns
            source.processed += 1
            source.output.signalMessage(msg)
            return True
        if self.last_in_ns - due_ns >= self.timeout.nanoseconds:
            source.active = False
            return True
        return False
