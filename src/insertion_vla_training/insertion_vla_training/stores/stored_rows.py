"""Rows and blobs of one episode, as a store gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.stores.arrays import TableArrays


@dataclass(frozen=True, eq=False)
class StreamRows:
    """Rows of one episode in the order of arrival.

    Attributes:
        stamps, receive: (n,) ns, when measured and when received.
        values: (n, C) float64.
    """

    stamps: NDArray[np.int64]
    receive: NDArray[np.int64]
    values: NDArray[np.float64]


class Blobs:
    """Blobs of one episode in the order of arrival: JPEG images, features, texts.

    Attributes:
        stamps, receive: (n,) ns.
    """

    def __init__(self, arrays: TableArrays, start: int, stop: int) -> None:
        self.stamps: NDArray[np.int64] = arrays.read("stamps", start, stop)
        self.receive: NDArray[np.int64] = arrays.read("receive", start, stop)
        self._arrays = arrays
        self._offsets = arrays.offsets(start, stop)

    def __len__(self) -> int:
        return len(self.stamps)

    def blob(self, index: int) -> bytes:
        """The bytes of one of them, as they were recorded."""
        if not 0 <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {index}")
        return self._arrays.blob(int(self._offsets[index]), int(self._offsets[index + 1]))

    jpeg = blob
