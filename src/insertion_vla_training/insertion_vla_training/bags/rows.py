"""Messages of a bag to the rows of the store's tables, message by message and in the order of arrival."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from insertion_vla_core.aline import BINS
from insertion_vla_core.contract import Contract, Stream
from insertion_vla_core.stream_rows import rows_of, stamp_ns
from insertion_vla_policy.feature_message import features_from_message

from insertion_vla_training.stores import layout
from insertion_vla_training.stores.feature_blob import encode_features
from insertion_vla_training.stores.layout import Rows, Table

ARM_TYPE, TASK_TYPE = "insertion_vla_interfaces/msg/ArmState", "insertion_vla_interfaces/msg/TaskState"
OTHER_TOPICS = {"arm/state": ARM_TYPE, "task/state": TASK_TYPE}  # recorded beside the contract, not required
JPEG_HEAD = b"\xff\xd8"

Taker = Callable[[Any, int], None]


class Gathered:
    """Rows of one table while they are gathered."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._parts: dict[str, list[Any]] = {name: [] for name in table.columns}
        self._blobs: list[bytes] = []

    def add(self, blob: bytes | None = None, **arrays: Any) -> None:
        """Rows (n, ...) for every column, and the blob of a single row."""
        for name, parts in self._parts.items():
            parts.append(arrays[name])
        if blob is not None:
            self._blobs.append(blob)

    def rows(self) -> Rows:
        """All of them."""
        if not next(iter(self._parts.values())):
            return layout.empty_rows(self._table)
        columns = {
            name: np.concatenate(parts).astype(self._table.columns[name].dtype, copy=False)
            for name, parts in self._parts.items()
        }
        if not self._table.blobs:
            return Rows(columns)
        sizes = np.array([len(blob) for blob in self._blobs], np.int64)
        return Rows(columns, sizes, np.frombuffer(b"".join(self._blobs), np.uint8))


class RowTakers:
    """What is done with the messages of every topic.

    Attributes:
        takers: by relative topic; each takes a decoded message and its receive time [ns], and raises ValueError with a
            sentence for a message that holds no rows.
        tables: what they gather, by the path of the table.
    """

    def __init__(self, contract: Contract, aline_type: str) -> None:
        self.tables = {path: Gathered(table) for path, table in layout.tables(contract, aline_type).items()}
        self.takers: dict[str, list[Taker]] = {}
        self._chunk_shape = (contract.action.horizon, len(contract.action.channels))
        force = layout.force_stream(contract)
        for stream in contract.observations:
            self._on(stream.topic, self._payload(stream) if stream.payload else self._numbers(stream))
        if force is not None:
            self._on(force.topic, self._alines(np.dtype(layout.ALINE_DTYPES[aline_type])))
        for image in contract.images:
            self._on(image.topic, self._image(layout.image_path(image.name)))
        self._on(contract.action.topic, self._chunk)
        self._on("arm/state", self._command)
        self._on("task/state", self._task)

    def _on(self, topic: str, taker: Taker) -> None:
        self.takers.setdefault(topic, []).append(taker)

    def _numbers(self, stream: Stream) -> Taker:
        table = self.tables[layout.stream_path(stream.name)]

        def take(message: Any, receive_ns: int) -> None:
            stamps, values = rows_of(stream, message)
            table.add(stamps=stamps, receive=np.full(len(stamps), receive_ns), values=values)

        return take

    def _payload(self, stream: Stream) -> Taker:
        table = self.tables[layout.stream_path(stream.name)]

        def take(message: Any, receive_ns: int) -> None:
            try:
                features = features_from_message(message)
            except ValueError:
                # The live node stops using older features too: what cannot be read is a withdrawal.
                table.add(encode_features(None), stamps=[stamp_ns(message.header)], receive=[receive_ns])
                raise
            stamp = features.stamp_ns if features else stamp_ns(message.header)
            table.add(encode_features(features), stamps=[stamp], receive=[receive_ns])

        return take

    def _alines(self, dtype: np.dtype[Any]) -> Taker:
        table = self.tables[layout.ALINES]

        def take(message: Any, receive_ns: int) -> None:
            count, bins = len(message.stamps), int(message.aline_bins)
            if len(message.force) != count:
                return  # the stream of forces has refused it: no rows there, none here
            if bins == 0 or len(message.alines) == 0:
                table.add(values=np.full((count, BINS), np.nan, dtype))
                return
            problem = f"expected {count} A-lines of {BINS} bins, got {len(message.alines)} numbers"
            if bins == BINS and len(message.alines) == count * bins:
                try:
                    # Raised by the conversion itself: looking for infinities would cost more than it.
                    with np.errstate(over="raise"):
                        lines = np.asarray(message.alines, np.float32).reshape(count, bins).astype(dtype)
                    table.add(values=lines)
                    return
                except FloatingPointError:
                    problem = "expected A-lines within +-65504, got larger numbers; use a store of --alines f32"
            table.add(values=np.full((count, BINS), np.nan, dtype))
            raise ValueError(problem)

        return take

    def _image(self, path: str) -> Taker:
        table = self.tables[path]

        def take(message: Any, receive_ns: int) -> None:
            data = message.data.tobytes()
            if not data.startswith(JPEG_HEAD):
                raise ValueError(f"expected JPEG images, got '{message.format}' of {len(data)} bytes")
            table.add(data, stamps=[stamp_ns(message.header)], receive=[receive_ns])

        return take

    def _chunk(self, message: Any, receive_ns: int) -> None:
        shape = (int(message.horizon), int(message.dim))
        if shape != self._chunk_shape or len(message.data) != shape[0] * shape[1]:
            raise ValueError(
                f"expected chunks of {self._chunk_shape[0]} x {self._chunk_shape[1]} numbers, got {shape} and "
                f"{len(message.data)} of them"
            )
        p, o = message.anchor.position, message.anchor.orientation
        texts = {
            "session": message.session_id,
            "goal": message.goal_id,
            "policy_id": message.policy_id,
            "status": message.status,
        }
        self.tables[layout.CHUNKS].add(
            json.dumps(texts).encode(),
            stamps=[stamp_ns(message.header)],
            receive=[receive_ns],
            data=np.asarray(message.data, np.float32).reshape(1, *shape),
            anchor=[[p.x, p.y, p.z, o.x, o.y, o.z, o.w]],
            features_stamp=[_time_ns(message.features_stamp)],
            force_stamp=[_time_ns(message.force_stamp)],
            sequence=[message.sequence],
            inference_s=[message.inference_time],
        )

    def _command(self, message: Any, receive_ns: int) -> None:
        row = [message.state, message.speed_scale, *message.twist, message.force]
        self._row(layout.COMMANDS, message, receive_ns, row)

    def _task(self, message: Any, receive_ns: int) -> None:
        self._row(layout.TASK, message, receive_ns, [message.phase, message.permit, message.depth, message.elapsed])

    def _row(self, path: str, message: Any, receive_ns: int, row: list[float]) -> None:
        values = np.array([row], np.float64)
        self.tables[path].add(stamps=[stamp_ns(message.header)], receive=[receive_ns], values=values)


def _time_ns(time: Any) -> int:
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)
