"""What a policy sees at a tick: causal windows of the contract's streams, live and offline by the same code."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insertion_vla_core.contract import Contract, Stream
from insertion_vla_core.geometry import Array
from insertion_vla_core.ring import Ring, Stamps
from insertion_vla_core.windows import grid, resample

PAYLOADS_KEPT = 32
SPARE_S = 1.0  # rows that arrive after the tick they are too young for must not push out the window


class Missing(Exception):
    """A stream that the contract requires has no usable data; hold.

    Attributes:
        stream: its name.
        age_s: age of the newest usable row at the tick; None if there is none.
        max_age_s: what the contract allows.
    """

    def __init__(self, stream: str, age_s: float | None, max_age_s: float, why: str = "") -> None:
        self.stream = stream
        self.age_s = age_s
        self.max_age_s = max_age_s
        came = "nothing has come in time" if age_s is None else f"the newest is {age_s:.3f} s old"
        super().__init__(f"'{stream}' is missing: {why or f'expected data of at most {max_age_s:g} s, {came}'}")


@dataclass(frozen=True, eq=False)
class Window:
    """One stream on the contract's grid, oldest first.

    Attributes:
        stamps_ns: (n,) when each row was measured; the grid's own time where there is no datum.
        values: (n, C) float64; NaN where there is no datum.
        mask: (n,) True where there is a datum.
    """

    stamps_ns: Stamps
    values: Array
    mask: NDArray[np.bool_]

    def valid(self) -> tuple[Stamps, Array]:
        """Stamps (m,) and rows (m, C) of the data alone, each measurement once."""
        stamps, values = self.stamps_ns[self.mask], self.values[self.mask]
        first = np.concatenate([[True], stamps[1:] > stamps[:-1]]) if len(stamps) else np.zeros(0, bool)
        return stamps[first], values[first]


@dataclass(frozen=True, eq=False)
class Entry:
    """The newest object of a payload stream.

    Attributes:
        stamp_ns: acquisition time.
        newest: the object.
    """

    stamp_ns: int
    newest: Any


@dataclass(frozen=True, eq=False)
class Observation:
    """All streams at one tick.

    Attributes:
        stamp_ns: the tick t.
        streams: by name: a Window, or an Entry for a payload. An optional payload that is missing is absent.
        newest_ns: stamp of the newest datum of each stream that has one.
    """

    stamp_ns: int
    streams: dict[str, Any]
    newest_ns: dict[str, int]


class ObservationBuilder:
    """Remembers what arrived and builds observations of it.

    Push in the order of arrival and build along the way, as a live node does; a converter that replays a recording by
    its receive times gets the same observations bit for bit.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._rings: dict[str, Ring] = {}
        self._payloads: dict[str, deque[tuple[int, int, Any]]] = {}
        for stream in contract.observations:
            if stream.payload:
                self._payloads[stream.name] = deque(maxlen=PAYLOADS_KEPT)
            else:
                seconds = max(stream.window_s, stream.max_age_s) + stream.lag_s + SPARE_S
                # Twice the rate: senders are faster than they say (the lab's 650 Hz were 772).
                self._rings[stream.name] = Ring(math.ceil(2.0 * seconds * stream.rate_hz) + 1, stream.width, np.float64)

    def push(self, name: str, stamp_ns: int, receive_ns: int, row: Any) -> None:
        """Take in one row (C,) or payload measured at `stamp_ns` and received at `receive_ns`.

        Numbers that are not finite are no data: the row is known, and masked.

        Raises:
            KeyError: no such stream.
            ValueError: a row of another shape.
        """
        if name in self._payloads:
            self._payloads[name].append((stamp_ns, receive_ns, row))
        else:
            self._ring(name).push(stamp_ns, receive_ns, np.ravel(row))

    def extend(self, name: str, stamps_ns: ArrayLike, receive_ns: int, rows: ArrayLike) -> None:
        """Take in n rows (n, C) with stamps (n,) that arrived together at `receive_ns`; errors as `push`."""
        stamps = np.asarray(stamps_ns, dtype=np.int64)
        self._ring(name).extend(stamps, np.full(len(stamps), receive_ns), rows)

    def _ring(self, name: str) -> Ring:
        if name not in self._rings:
            raise KeyError(f"expected one of the contract's streams ({', '.join(self._rings)}), got '{name}'")
        return self._rings[name]

    def build(self, t_ns: int, known_by_ns: int | None = None) -> Observation:
        """The observation at tick `t_ns` from what had arrived by `known_by_ns` (None: by the tick).

        Raises:
            Missing: the first stream without which the policy must not act.
        """
        known_by_ns = t_ns if known_by_ns is None else known_by_ns
        streams: dict[str, Any] = {}
        newest_ns: dict[str, int] = {}
        for stream in self._contract.observations:
            found: Window | Entry | None
            if stream.payload:
                found = self._newest(stream, t_ns, known_by_ns)
                newest = found.stamp_ns if found else None
            else:
                found, newest = self._window(stream, t_ns, known_by_ns)
            if found is not None:
                streams[stream.name] = found
            if newest is not None:
                newest_ns[stream.name] = newest
        return Observation(t_ns, streams, newest_ns)

    def _newest(self, stream: Stream, t_ns: int, known_by_ns: int) -> Entry | None:
        end_ns = t_ns - round(stream.lag_s * 1e9)
        known = [
            (stamp, payload)
            for stamp, received, payload in self._payloads[stream.name]
            if stamp <= end_ns and received <= known_by_ns
        ]
        stamp, payload = max(known, key=lambda entry: entry[0]) if known else (None, None)
        if stamp is None or _too_old(stream, stamp, t_ns):
            if not stream.optional:
                raise Missing(stream.name, None if stamp is None else (t_ns - stamp) / 1e9, stream.max_age_s)
            return None
        return Entry(stamp, payload)

    def _window(self, stream: Stream, t_ns: int, known_by_ns: int) -> tuple[Window, int | None]:
        points = grid(t_ns, stream.window_s, stream.rate_hz, stream.lag_s)
        end_ns = int(points[-1])
        start_ns = end_ns - round(stream.window_s * 1e9)
        # A stream with a short window may be older than the window and still fresh enough to act on: look further back
        # for its age, never for its values.
        oldest_ns = min(start_ns, t_ns - round(stream.max_age_s * 1e9) - 1)
        stamps, rows = self._ring(stream.name).window(oldest_ns, end_ns, known_by_ns)
        finite = np.isfinite(rows).all(axis=1)
        newest = int(stamps[finite][-1]) if finite.any() else None
        inside = stamps > start_ns
        values, mask = resample(stamps[inside], rows[inside], points, stream.max_age_s)
        if not stream.optional:
            if newest is None or _too_old(stream, newest, t_ns):
                raise Missing(stream.name, None if newest is None else (t_ns - newest) / 1e9, stream.max_age_s)
            expected = stream.rate_hz * stream.window_s
            came = int(np.count_nonzero(finite & inside))
            if came < max(1.0, stream.min_share * expected):
                why = f"expected {stream.min_share:.0%} of {expected:.0f} rows in its window, {came} came"
                raise Missing(stream.name, (t_ns - newest) / 1e9, stream.max_age_s, why)
        return Window(_own_stamps(stamps[inside], points, mask), values, mask), newest


def _too_old(stream: Stream, stamp_ns: int, t_ns: int) -> bool:
    return t_ns - stamp_ns > round(stream.max_age_s * 1e9)


def _own_stamps(stamps: Stamps, points: Stamps, mask: NDArray[np.bool_]) -> Stamps:
    result = points.copy()
    result[mask] = stamps[np.searchsorted(stamps, points[mask], side="right") - 1]
    return result
