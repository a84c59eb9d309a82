"""Sets of messages, one per input, that belong together by time."""

import itertools
import threading
from collections.abc import Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration

from message_filters.message_traits import TimeGetter, get_time_from_message_header, stamp_of
from message_filters.simple_filter import SimpleFilter


class TimeSynchronizer(SimpleFilter):
    """Signals `callback(msg_1, ..., msg_n)` for messages of equal time, one from each input.

    Once a set has been signalled, older messages that still wait can no longer be part of one and are dropped.

    Args:
        fs: The input filters.
        queue_size: Messages kept per input while they wait for the others.
        time_getter: Function from message to rclpy Time; the header's stamp by default.
    """

    def __init__(
        self, fs: Sequence[SimpleFilter], queue_size: int, time_getter: TimeGetter = get_time_from_message_header
    ) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.time_getter = time_getter
        # Reentrant: a callback may feed an input of this very synchronizer.
        self.lock = threading.RLock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        # Per input: time in nanoseconds to the message that waits.
        self.queues: list[dict[int, Any]] = [{} for _ in fs]
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        stamp = self.time_getter(msg)
        if stamp is None:
            raise ValueError(f"expected a message with header.stamp, got a {type(msg).__name__}")
        with self.lock:
            self._keep(my_queue, stamp.nanoseconds, msg)
            if all(stamp.nanoseconds in queue for queue in self.queues):
                self._drop_older(stamp.nanoseconds)
                self._signal([stamp.nanoseconds] * len(self.queues))

    def _keep(self, queue: dict[int, Any], stamp_ns: int, msg: Any) -> None:
        queue[stamp_ns] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _signal(self, stamps_ns: Sequence[int]) -> None:
        """Take one message of the given time out of every queue, then signal the set."""
        self.signalMessage(*[queue.pop(stamp) for queue, stamp in zip(self.queues, stamps_ns, strict=True)])

    def _drop_older(self, stamp_ns: int) -> None:
        for queue in self.queues:
            for old in [stamp for stamp in queue if stamp < stamp_ns]:
                del queue[old]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Like TimeSynchronizer for messages whose times differ by less than `slop`.

    A new message is paired with the nearest waiting message of every other input; each message is used once.

    Args:
        fs: The input filters.
        queue_size: Messages kept per input while they wait for the others.
        slop: [s] the times of a set span less than this.
        allow_headerless: Give messages without a header their arrival time instead of dropping them.
        sync_arrival_time: Pair by arrival time, whatever the headers say.
        time_getter: Function from message to rclpy Time; the header's stamp by default.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        sync_arrival_time: bool = False,
        time_getter: TimeGetter = get_time_from_message_header,
    ) -> None:
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.sync_arrival_time = sync_arrival_time
        super().__init__(fs, queue_size, time_getter)

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        if self.sync_arrival_time:
            stamp = ROSClock().now()
        else:
            stamp = stamp_of(msg, self.time_getter, self.allow_headerless, "message_filters_approx")
        if stamp is None:
            return
        with self.lock:
            self._keep(my_queue, stamp.nanoseconds, msg)
            if stamp.nanoseconds not in my_queue:
                return
            choice = self._nearest_set(stamp.nanoseconds, my_queue)
            if choice is not None:
                self._signal(choice)

    def _nearest_set(self, stamp_ns: int, my_queue: dict[int, Any]) -> list[int] | None:
        """Times of the set around a new message, one per queue; None while an input has nothing near it."""
        slop_ns = self.slop.nanoseconds
        candidates = []
        for queue in self.queues:
            if queue is my_queue:
                candidates.append([stamp_ns])
                continue
            near = [other for other in queue if abs(other - stamp_ns) <= slop_ns]
            if not near:
                return None
            candidates.append(sorted(near, key=lambda other: abs(other - stamp_ns)))
        # Nearest first; with three inputs and more, two neighbours may lie on opposite sides of the new message.
        for stamps in itertools.product(*candidates):
            if max(stamps) - min(stamps) < slop_ns:
                return list(stamps)
        return None
