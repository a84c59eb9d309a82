"""Reading files of anybody: nothing is unpickled, and shapes are checked before anything is used."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PICKLE_NAMES = (".pkl", ".pickle", ".pck")
_PICKLE_PROTOCOLS = range(2, 6)
_FRAME_MARKERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
SIDE_MIN, SIDE_MAX = 16, 8192  # as contracts take them
_BARE_MARKERS = {0x01, *range(0xD0, 0xD8)}


class Layout(NamedTuple):
    """What an array must be: its kind of number ("f", "i", "fi") and its shape, None for any length."""

    kinds: str
    shape: tuple[int | None, ...]


class ArrayHead(NamedTuple):
    """What an array says of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, by its name or by how it begins."""
    if path.suffix.lower() in PICKLE_NAMES:
        return True
    with path.open("rb") as stream:
        head = stream.read(2)
    return len(head) == 2 and head[0] == 0x80 and head[1] in _PICKLE_PROTOCOLS


def refuse_pickle(path: Path) -> None:
    """Raises ValueError for a pickle."""
    if is_pickle(path):
        raise ValueError(
            f"{path} is a pickle, which runs code when it is read: it is never opened; import the other files of the "
            "episode, or write its content anew as npz or HDF5 where it came from"
        )


@contextmanager
def npz_member(path: Path, name: str) -> Iterator[tuple[ArrayHead, IO[bytes]]]:
    """The head of an array of an .npz file, and the stream of its numbers in C order.

    Raises:
        ValueError: the file is cut off or no .npz, lacks the array, or the array holds objects.
        KeyError: there is no such array.
    """
    refuse_pickle(path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
            if dtype.hasobject:
                raise ValueError(f"'{name}' holds pickled objects, which are never read; save numbers instead")
            if fortran and len(shape) > 1:
                raise ValueError(f"'{name}' is in Fortran order; save it in C order (np.ascontiguousarray)")
            yield ArrayHead(dtype, shape), stream
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError) as error:
        raise ValueError(f"{path} is cut off or no .npz file ({error}); copy it again, or remove it") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def npz_names(path: Path) -> list[str]:
    """The names of the arrays of an .npz file; raises ValueError if it is none."""
    refuse_pickle(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is cut off or no .npz file ({error}); copy it again, or remove it") from error


def read_npz(path: Path, wanted: Mapping[str, Layout]) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz file by name.

    Raises:
        ValueError: the file is cut off, lacks one of them, or one has another type or shape.
    """
    names = npz_names(path)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"{path}: expected arrays {', '.join(wanted)}, got {', '.join(names) or 'none'}")
    found = {}
    for name, layout in wanted.items():
        with npz_member(path, name) as (head, stream):
            check_layout(name, head.dtype, head.shape, layout)
            size = int(np.prod(head.shape)) * head.dtype.itemsize
            data = stream.read(size + 1)
            if len(data) != size:
                raise ValueError(f"'{name}': expected {size} bytes, got {len(data)}; copy the file again")
            found[name] = np.frombuffer(data, head.dtype).reshape(head.shape)
    return found


def check_layout(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], layout: Layout) -> None:
    """Raises ValueError when an array is not as it should be."""
    fits = len(shape) == len(layout.shape) and all(
        want in (None, got) for want, got in zip(layout.shape, shape, strict=True)
    )
    if dtype.kind not in layout.kinds or not fits:
        wanted = " x ".join("n" if size is None else str(size) for size in layout.shape)
        raise ValueError(
            f"'{name}': expected {wanted} numbers, got an array of {dtype} and shape {tuple(shape)}; is it a file of "
            "another recorder?"
        )


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG image, read from its head; nothing is decoded.

    Raises:
        ValueError: it is no JPEG, or its end is missing.
    """
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("expected a JPEG image, got other bytes")
    if not data.endswith(b"\xff\xd9"):
        raise ValueError(f"expected a whole JPEG image, its end is missing after {len(data)} bytes; copy it again")
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            if not (SIDE_MIN <= width <= SIDE_MAX and SIDE_MIN <= height <= SIDE_MAX):
                raise ValueError(f"expected an image of {SIDE_MIN} to {SIDE_MAX} pixels a side, got {width} x {height}")
            return width, height
        at += 2 if marker in _BARE_MARKERS else 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    raise ValueError("expected a JPEG image, its head is damaged; copy it again")
