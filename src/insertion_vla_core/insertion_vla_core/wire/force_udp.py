"""The force and A-line sensor's UDP datagrams.

A record is 4120 bytes, little-endian: two times [s, sender's clock], the force [sensor units] and 1025 A-line bins.
Senders in use differ in how they pack records; the decoder tells the framings apart by length alone:

* `counted`: u32 N, then N records, in one datagram (N <= 15 fits);
* `bare`: exactly one record;
* `split`: a datagram of 4 bytes with u32 N, then N records in datagrams cut anywhere.
"""

from __future__ import annotations

import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Framing = Literal["counted", "bare", "split"]
FRAMINGS: tuple[Framing, ...] = ("counted", "bare", "split")

ALINE_BINS = 1025
RECORD = np.dtype(
    [("timestamp", "<f8"), ("send_timestamp", "<f8"), ("force", "<f4"), ("aline", "<f4", (ALINE_BINS,))]
)  # s, s, sensor units, sensor units
RECORD_BYTES = RECORD.itemsize
MAX_COUNTED = 15  # records that fit into one UDP datagram after the count
MAX_SPLIT = 64  # records that a count datagram may announce; bounds the memory that a stray one can claim
MAX_TIME_S = 9e9  # times beyond this do not fit int64 nanoseconds

_COUNT = struct.Struct("<I")
_TIMES = struct.Struct("<dd")
_WORDS = RECORD_BYTES // 4  # a record as float32 words; the first four are the two times
_FLOAT32 = np.dtype("<f4")
_NOTHING: NDArray[np.void] = np.empty(0, RECORD)


def encode(framing: Framing, records: NDArray[np.void]) -> list[bytes]:
    """Datagrams that carry `records` (n,) of dtype RECORD in the given framing, in the order to send them.

    Raises:
        ValueError: unknown framing, or records of another dtype or shape.
    """
    if records.dtype != RECORD or records.ndim != 1:
        raise ValueError(f"expected records of shape (n,) and dtype RECORD, got {records.shape} and {records.dtype}")
    if framing == "bare":
        return [records[i].tobytes() for i in range(len(records))]
    if framing == "counted":
        batches = [records[i : i + MAX_COUNTED] for i in range(0, len(records), MAX_COUNTED)]
        return [_COUNT.pack(len(batch)) + batch.tobytes() for batch in batches]
    if framing == "split":
        datagrams = []
        for start in range(0, len(records), MAX_SPLIT):
            batch = records[start : start + MAX_SPLIT]
            datagrams += [_COUNT.pack(len(batch)), *(batch[i].tobytes() for i in range(len(batch)))]
        return datagrams
    raise ValueError(f"expected a framing out of {', '.join(FRAMINGS)}, got '{framing}'")


class ForceDecoder:
    """Turns datagrams into records, whatever the framing, also when it changes from one datagram to the next.

    Nothing that arrives makes it raise or grow. `counters` holds `datagrams` fed, `records` returned and `malformed`:
    datagrams, abandoned batches and single records (not finite, impossible times) that were dropped.
    """

    def __init__(self) -> None:
        self.counters = {"datagrams": 0, "records": 0, "malformed": 0}
        self._announced = 0  # bytes still to come after a count datagram
        self._partial = bytearray(MAX_SPLIT * RECORD_BYTES)
        self._filled = 0  # bytes of the announced batch that wait in _partial

    def feed(self, datagram: bytes | bytearray | memoryview) -> NDArray[np.void]:
        """Records (n,) of dtype RECORD that this datagram completes; often one, possibly none.

        They are views into the datagram where possible: use or copy them before its buffer is used again.
        """
        self.counters["datagrams"] += 1
        size = len(datagram)
        if size == RECORD_BYTES:
            # A record also inside a batch: no sender cuts a batch into pieces of this length that are not records.
            if self._filled:
                self._abandon()
            elif self._announced:
                self._announced -= RECORD_BYTES
            return self._one(datagram)
        if size == _COUNT.size:
            return self._announce(_COUNT.unpack(datagram)[0])
        count, rest = divmod(size - _COUNT.size, RECORD_BYTES)
        if rest == 0 and 0 < count <= MAX_COUNTED and _COUNT.unpack_from(datagram)[0] == count:
            self._abandon()
            return self._many(datagram, count, _COUNT.size)
        if 0 < size <= self._announced - self._filled:
            return self._append(datagram, size)
        self._abandon()
        return self._refuse()

    def _refuse(self) -> NDArray[np.void]:
        self.counters["malformed"] += 1
        return _NOTHING

    def _announce(self, count: int) -> NDArray[np.void]:
        self._abandon()
        self._announced = count * RECORD_BYTES if count <= MAX_SPLIT else 0
        return _NOTHING if 0 < count <= MAX_SPLIT else self._refuse()

    def _abandon(self) -> None:
        """End the announced batch; bytes that wait for the rest of it are dropped, for they can never be completed."""
        if self._filled:
            self._refuse()
        self._announced = self._filled = 0

    def _append(self, datagram: bytes | bytearray | memoryview, size: int) -> NDArray[np.void]:
        count, rest = divmod(size, RECORD_BYTES)
        if self._filled == 0 and rest == 0:  # whole records need not wait for the batch to be complete
            self._announced -= size
            return self._many(datagram, count, 0)
        self._partial[self._filled : self._filled + size] = datagram
        self._filled += size
        if self._filled < self._announced:
            return _NOTHING
        count = self._filled // RECORD_BYTES
        self._announced = self._filled = 0
        return self._many(self._partial, count, 0).copy()

    def _one(self, datagram: bytes | bytearray | memoryview) -> NDArray[np.void]:
        """The common case, kept free of array arithmetic: 650 times a second."""
        first, second = _TIMES.unpack_from(datagram)
        values = np.frombuffer(datagram, _FLOAT32, _WORDS - 4, 16)
        if not (0.0 <= first < MAX_TIME_S and 0.0 <= second < MAX_TIME_S and np.isfinite(values).all()):
            return self._refuse()
        self.counters["records"] += 1
        return np.frombuffer(datagram, RECORD)

    def _many(self, data: bytes | bytearray | memoryview, count: int, offset: int) -> NDArray[np.void]:
        records = np.frombuffer(data, RECORD, count, offset)
        good = np.isfinite(np.frombuffer(data, _FLOAT32, count * _WORDS, offset).reshape(count, _WORDS)[:, 4:]).all(
            axis=1
        )
        for name in ("timestamp", "send_timestamp"):
            times = records[name]
            good &= (times >= 0.0) & (times < MAX_TIME_S)
        kept = int(np.count_nonzero(good))
        self.counters["records"] += kept
        self.counters["malformed"] += count - kept
        return records if kept == count else records[good]
