"""The newest messages of a stream and queries over them by time."""

from typing import Any

from rclpy.time import Time

from message_filters.message_traits import TimeGetter, get_time_from_message_header, stamp_of
from message_filters.simple_filter import SimpleFilter


class Cache(SimpleFilter):
    """Keeps the last `cache_size` messages of a filter, in order of arrival, and passes every message on.

    Args:
        f: The filter to listen to.
        cache_size: Number of messages kept.
        allow_headerless: Give messages without a header their arrival time instead of dropping them.
        time_getter: Function from message to rclpy Time, None if it has none; the header's stamp by default.
    """

    def __init__(
        self,
        f: SimpleFilter,
        cache_size: int = 1,
        allow_headerless: bool = False,
        time_getter: TimeGetter = get_time_from_message_header,
    ) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.cache_msgs: list[Any] = []
        self.cache_times: list[Time] = []
        self.allow_headerless = allow_headerless
        self.time_getter = time_getter
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        stamp = stamp_of(msg, self.time_getter, self.allow_headerless, "message_filters_cache")
        if stamp is None:
            return
        self.cache_times.append(stamp)
        self.cache_msgs.append(msg)
        if len(self.cache_msgs) > self.cache_size:
            del self.cache_msgs[0], self.cache_times[0]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Messages with from_stamp <= time <= to_stamp."""
        assert from_stamp <= to_stamp, "expected from_stamp <= to_stamp"
        return [msg for msg, stamp in self._pairs() if from_stamp <= stamp <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:
        """The oldest message at or after `stamp`, None if there is none."""
        return next((msg for msg, time in self._pairs() if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:
        """The newest message at or before `stamp`, None if there is none."""
        return next((msg for msg, time in reversed(self._pairs()) if time <= stamp), None)

    def getLastestTime(self) -> Time | None:
        """Time of the newest message, None if empty (the spelling is upstream's)."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:
        """Time of the oldest message, None if empty."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:
        """The newest message, None if empty."""
        latest = self.getLastestTime()
        return None if latest is None else self.getElemAfterTime(latest)

    def _pairs(self) -> list[tuple[Any, Time]]:
        return list(zip(self.cache_msgs, self.cache_times, strict=True))
