"""The Zarr v3 arrays of a store's tables: made, appended to, and cut back to what was committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from insertion_vla_training.stores.layout import BYTES, ENDS, OFFSETS, Column, Rows, Table


def make_tables(folder: Path, tables: dict[str, Table], attributes: dict[str, Any]) -> None:
    """Empty arrays of a new store."""
    root = zarr.create_group(str(folder), attributes=attributes, zarr_format=3)
    for path, table in tables.items():
        group = root.create_group(path, attributes=table.attributes)
        for name, column in table.columns.items():
            _make(group, name, column, 0)
        _make(group, "ends", ENDS, 0)
        if table.blobs:
            _make(group, "offsets", OFFSETS, 1)
            _make(group, "bytes", BYTES, 0)


def _make(group: zarr.Group, name: str, column: Column, length: int) -> None:
    row = column.row
    group.create_array(
        name,
        shape=(length, *row),
        dtype=np.dtype(column.dtype),
        chunks=(column.chunk, *row),
        shards=(column.chunk * column.chunks_per_shard, *row),
        compressors=None if column is BYTES else ZstdCodec(level=1),
        fill_value=np.nan if np.dtype(column.dtype).kind == "f" else 0,
    )


class TableArrays:
    """One table of an open store.

    Writing goes past the rows that episodes.json counts; nobody reads those before it counts them too, and what a
    killed writer left there is cut off by `cut`. A shard is written to a file of its own and renamed, so rows that
    share a shard with new ones are never at risk.
    """

    def __init__(self, root: zarr.Group, path: str, table: Table) -> None:
        self.table = table
        self._arrays: dict[str, zarr.Array] = {}
        names = [*table.columns, "ends", *(("offsets", "bytes") if table.blobs else ())]
        for name in names:
            array = root[f"{path}/{name}"]
            if not isinstance(array, zarr.Array):
                raise ValueError(f"expected the array {path}/{name} in the store, got a group; make the store again")
            self._arrays[name] = array

    def read(self, column: str, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) of a column."""
        return np.asarray(self._arrays[column][start:stop])

    def offsets(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where blobs [start, stop) begin, and where the last one ends: (stop - start + 1,)."""
        return np.asarray(self._arrays["offsets"][start : stop + 1])

    def blob(self, begin: int, end: int) -> bytes:
        """Bytes [begin, end)."""
        return np.asarray(self._arrays["bytes"][begin:end]).tobytes()

    def append(self, rows: Rows, at: int, episode: int) -> None:
        """Write an episode's rows behind the first `at` ones."""
        count = len(rows)
        for name, column in self.table.columns.items():
            values = rows.columns[name]
            if values.shape != (count, *column.row):
                raise ValueError(f"expected '{name}' of shape {(count, *column.row)}, got {values.shape}")
            if values.dtype != column.dtype:
                raise ValueError(f"expected '{name}' of type {np.dtype(column.dtype)}, got {values.dtype}")
            self._write(name, at, values)
        self._write("ends", episode, np.array([at + count]))
        if rows.sizes is None or rows.blobs is None or count == 0:
            return
        begin = int(self.offsets(at, at)[0])
        self._write("bytes", begin, rows.blobs)
        self._write("offsets", at + 1, begin + np.cumsum(rows.sizes))

    def cut(self, rows: int, episodes: int) -> None:
        """Cut every array back to so many rows and episodes.

        Raises:
            ValueError: there are fewer.
        """
        lengths = {name: rows for name in self.table.columns} | {"ends": episodes}
        if self.table.blobs:
            self._cut("offsets", rows + 1)
            lengths["bytes"] = int(self.offsets(rows, rows)[0])
        for name, length in lengths.items():
            self._cut(name, length)

    def _write(self, name: str, at: int, values: NDArray[Any]) -> None:
        if len(values) == 0:
            return
        array = self._arrays[name]
        if array.shape[0] < at + len(values):
            array.resize((at + len(values), *array.shape[1:]))
        array[at : at + len(values)] = values

    def _cut(self, name: str, length: int) -> None:
        array = self._arrays[name]
        if array.shape[0] < length:
            raise ValueError(
                f"expected {length} rows in {array.path} of the store, got {array.shape[0]}: files are missing; "
                "copy the store again, or make it again from its bags"
            )
        if array.shape[0] > length:
            array.resize((length, *array.shape[1:]))
