"""A preallocated ring of timestamped rows: the memory of one stream."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Stamps = NDArray[np.int64]


class Ring:
    """The newest `capacity` rows of a stream, each with two times in ns on the local wall clock.

    The stamp says when a row was measured, the receive time when it became known here. Rows come in the order of
    arrival; stamps may come out of order or twice (networks do that), and windows are sorted and free of repeats all
    the same. One thread may push while others read; what is read is copied.
    """

    def __init__(self, capacity: int, width: int, dtype: DTypeLike = np.float32) -> None:
        if capacity < 1 or width < 1:
            raise ValueError(f"expected a capacity and a width of at least 1, got {capacity} and {width}")
        self._stamps: Stamps = np.zeros(capacity, np.int64)
        self._receives: Stamps = np.zeros(capacity, np.int64)
        self._rows: NDArray[Any] = np.zeros((capacity, width), dtype)
        self._count = 0  # rows ever pushed
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """How many rows are kept."""
        return len(self._stamps)

    @property
    def width(self) -> int:
        """Numbers per row."""
        return int(self._rows.shape[1])

    def __len__(self) -> int:
        return min(self._count, self.capacity)

    def push(self, stamp_ns: int, receive_ns: int, row: ArrayLike) -> None:
        """Store one row (width,); the oldest one falls out when the ring is full."""
        values = np.asarray(row)
        if values.shape != (self.width,):
            raise ValueError(f"expected a row of shape ({self.width},), got {values.shape}")
        with self._lock:
            index = self._count % self.capacity
            self._stamps[index] = stamp_ns
            self._receives[index] = receive_ns
            self._rows[index] = values
            self._count += 1

    def extend(self, stamps_ns: ArrayLike, receives_ns: ArrayLike, rows: ArrayLike) -> None:
        """Store n rows (n, width) with their times (n,), in the order of arrival."""
        stamps, receives, values = np.asarray(stamps_ns), np.asarray(receives_ns), np.asarray(rows)
        n = len(stamps)
        if stamps.shape != (n,) or receives.shape != (n,) or values.shape != (n, self.width):
            raise ValueError(
                f"expected times of shape (n,) and rows of shape (n, {self.width}), "
                f"got {stamps.shape}, {receives.shape} and {values.shape}"
            )
        with self._lock:
            kept = min(n, self.capacity)
            index = np.arange(self._count + n - kept, self._count + n) % self.capacity
            self._stamps[index] = stamps[n - kept :]
            self._receives[index] = receives[n - kept :]
            self._rows[index] = values[n - kept :]
            self._count += n

    def window(self, start_ns: int, end_ns: int, known_by_ns: int | None = None) -> tuple[Stamps, NDArray[Any]]:
        """Rows with stamps in (start_ns, end_ns] that had arrived by `known_by_ns` (None: all of them).

        Returns:
            Stamps (n,), strictly rising, and rows (n, width). Of rows with the same stamp the first to arrive is kept.
        """
        with self._lock:
            n = len(self)
            stamps = self._stamps[:n]
            chosen = (stamps > start_ns) & (stamps <= end_ns)
            if known_by_ns is not None:
                chosen &= self._receives[:n] <= known_by_ns
            index = self._by_arrival(np.flatnonzero(chosen))
            found = stamps[index]
            if len(found) > 1 and not (found[1:] > found[:-1]).all():
                found, first = np.unique(found, return_index=True)
                index = index[first]
            return found, self._rows[index]

    def latest(self, known_by_ns: int | None = None) -> tuple[int, NDArray[Any]] | None:
        """Stamp and row (width,) of the newest measurement that had arrived by `known_by_ns`; None if there is none."""
        with self._lock:
            n = len(self)
            known = np.arange(n) if known_by_ns is None else np.flatnonzero(self._receives[:n] <= known_by_ns)
            if len(known) == 0:
                return None
            index = self._by_arrival(known)
            newest = index[np.argmax(self._stamps[index])]
            return int(self._stamps[newest]), self._rows[newest].copy()

    def _by_arrival(self, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """Slots `index` (rising) in the order in which they were filled."""
        if self._count <= self.capacity:
            return index
        split = int(np.searchsorted(index, self._count % self.capacity))
        return np.concatenate([index[split:], index[:split]])
