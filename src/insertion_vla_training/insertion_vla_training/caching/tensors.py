"""Named arrays in one safetensors file: there as a whole or not at all, and mapped instead of read.

Mapped files hold no file descriptor, so a data set may have as many episodes as it likes, and processes that map the
same file share its memory.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_DTYPES = {
    name: np.dtype(code)
    for name, code in (("F64", "<f8"), ("F32", "<f4"), ("F16", "<f2"), ("I64", "<i8"), ("BOOL", "|b1"))
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
LEFTOVER_S = 1800.0  # nobody writes that long to one file
_LENGTH_BYTES, _HEADER_MAX = 8, 1 << 24


class DamagedFile(ValueError):
    """A file is shorter than it says or is not safetensors."""


def write_tensors(path: Path, arrays: dict[str, NDArray[Any]], texts: dict[str, str]) -> None:
    """Write a file in one step: a reader, or a start after a kill, sees all of it or nothing.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    # The widest numbers first, so that all are aligned. The same arrays give the same bytes.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header: dict[str, Any] = {"__metadata__": dict(sorted(texts.items()))}
    end = 0
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    waiting = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with waiting.open("wb") as stream:
            stream.write(len(head).to_bytes(_LENGTH_BYTES, "little") + head)
            for _, array in ordered:
                stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            stream.flush()
            os.fsync(stream.fileno())
        waiting.replace(path)
    except OSError as error:
        why = f"{error.strerror or error}; make room or choose another folder, and run it again: what is done stays"
        raise OSError(error.errno, why, str(path)) from error
    finally:
        waiting.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes had begun to write; files that may still be written to are left."""
    for waiting in folder.glob(".*.new"):
        if time.time() - waiting.stat().st_mtime > LEFTOVER_S:
            waiting.unlink(missing_ok=True)


class TensorFile:
    """A mapped file: its parts are read from the disk where they are touched. Pickled as its path and mapped anew.

    Attributes:
        path: of the file.
        arrays: by name, read-only.
        texts: that were written with them.
    """

    def __init__(self, path: Path) -> None:
        """Maps a file.

        Raises:
            DamagedFile: it is not whole.
            OSError: it is not there.
        """
        self.path = path
        size = path.stat().st_size
        header, begin = _header(path, size)
        # Private: a mistake of ours cannot reach the file. Pages are shared until then.
        whole = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()
        whole.flags.writeable = False
        self.texts: dict[str, str] = header.pop("__metadata__", {})
        self.arrays: dict[str, NDArray[Any]] = {}
        for name, entry in header.items():
            first, last = (begin + offset for offset in entry["data_offsets"])
            dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
            if not begin <= first <= last <= size or last - first != math.prod(shape) * dtype.itemsize:
                raise DamagedFile(f"expected '{name}' of shape {shape} in {path}, got {last - first} bytes")
            self.arrays[name] = whole[first:last].view(dtype).reshape(shape)

    def __reduce__(self) -> tuple[type[TensorFile], tuple[Path]]:
        return TensorFile, (self.path,)


def _header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= min(_HEADER_MAX, size - _LENGTH_BYTES):
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(stream.read(length))
        begin = _LENGTH_BYTES + length
        end = begin + max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"))
        if end != size:
            raise ValueError(f"{size} bytes instead of {end}")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"expected a whole safetensors file {path}, got {error}: it was cut off") from error
    return header, begin
