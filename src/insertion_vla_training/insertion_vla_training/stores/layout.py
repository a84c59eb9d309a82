"""Which arrays a store has: one table per stream, view and kind of message, the rows of all episodes end to end.

    streams/<stream>   stamps, receive, values; payloads: stamps, receive and blobs (see feature_blob)
    alines             values, row by row with the stream of forces; NaN where there was no A-line
    images/<view>      stamps, receive and blobs: JPEG bytes as they were recorded
    chunks             stamps, receive, data, anchor, ... and blobs of JSON texts
    commands, task     stamps, receive, values (names in the attributes)

Every table has `ends` (rows after each episode). Blobs are `bytes` with `offsets`: blob i is
bytes[offsets[i] : offsets[i + 1]].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from insertion_vla_core.aline import BINS
from insertion_vla_core.contract import Contract, Stream
from numpy.typing import NDArray

FORCE_TYPE, FORCE_FIELDS = "insertion_vla_interfaces/msg/ForceSamples", ("force", "force_raw")
ALINES, CHUNKS, COMMANDS, TASK = "alines", "chunks", "commands", "task"
ALINE_DTYPES = {"f16": "<f2", "f32": "<f4"}
COMMAND_NAMES = ("state", "speed_scale", "vx", "vy", "vz", "wx", "wy", "wz", "force")
TASK_NAMES = ("phase", "permit", "depth", "elapsed")


@dataclass(frozen=True)
class Column:
    """One array of a table: its type, the shape of a row, rows per chunk and chunks per shard."""

    dtype: str
    row: tuple[int, ...] = ()
    chunk: int = 8192
    chunks_per_shard: int = 32


@dataclass(frozen=True)
class Table:
    """Arrays of equal length under one path."""

    columns: dict[str, Column]
    blobs: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Rows:
    """What one episode adds to a table.

    Attributes:
        columns: arrays (n, ...) by name.
        sizes: (n,) bytes of each blob.
        blobs: their bytes, one after another.
    """

    columns: dict[str, NDArray[Any]]
    sizes: NDArray[np.int64] | None = None
    blobs: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


# Bytes are read blob by blob: small chunks, and no compressor, which JPEG does not need.
BYTES = Column("|u1", (), 1 << 16, 256)
OFFSETS = Column("<i8")
ENDS = Column("<i8", (), 4096, 16)
_TIMES = {"stamps": Column("<i8"), "receive": Column("<i8")}


def stream_path(name: str) -> str:
    """The table of a stream."""
    return f"streams/{name}"


def image_path(view: str) -> str:
    """The table of a camera view."""
    return f"images/{view}"


def force_stream(contract: Contract) -> Stream | None:
    """The stream whose rows the A-lines go with; None in a contract without a force sensor."""
    for stream in contract.observations:
        if stream.type == FORCE_TYPE and stream.field in FORCE_FIELDS:
            return stream
    return None


def tables(contract: Contract, alines: str) -> dict[str, Table]:
    """Every table of a store by its path.

    Args:
        contract: what was recorded.
        alines: "f16" or "f32".
    """
    found: dict[str, Table] = {}
    for stream in contract.observations:
        if stream.payload:
            found[stream_path(stream.name)] = Table(dict(_TIMES), blobs=True)
        else:
            # Doubles, as the live node has them: windows from the store equal the live ones bit for bit.
            found[stream_path(stream.name)] = _numbers(stream.channels, "<f8")
    if force_stream(contract):
        found[ALINES] = Table({"values": Column(ALINE_DTYPES[alines], (BINS,), 256, 32)})
    for image in contract.images:
        found[image_path(image.name)] = Table(dict(_TIMES), blobs=True)
    action = contract.action
    found[CHUNKS] = Table(
        {
            **_TIMES,
            "data": Column("<f4", (action.horizon, len(action.channels)), 1024),
            "anchor": Column("<f8", (7,), 1024),
            "features_stamp": Column("<i8"),
            "force_stamp": Column("<i8"),
            "sequence": Column("<i8"),
            "inference_s": Column("<f4"),
        },
        blobs=True,
        attributes={"channels": list(action.channels), "dt_s": action.dt_s},
    )
    found[COMMANDS] = _numbers(COMMAND_NAMES, "<f8")
    found[TASK] = _numbers(TASK_NAMES, "<f8")
    return found


def _numbers(names: tuple[str, ...], dtype: str) -> Table:
    return Table({**_TIMES, "values": Column(dtype, (len(names),), 4096)}, attributes={"channels": list(names)})


def empty_rows(table: Table) -> Rows:
    """No rows at all."""
    columns = {name: np.zeros((0, *column.row), column.dtype) for name, column in table.columns.items()}
    if not table.blobs:
        return Rows(columns)
    return Rows(columns, np.zeros(0, np.int64), np.zeros(0, np.uint8))
