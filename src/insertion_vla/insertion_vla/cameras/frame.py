"""What a camera source is, and what it hands over."""

from dataclasses import dataclass
from typing import Any, Protocol

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True)
class Frame:
    """One picture: as the JPEG bytes of the device when it sends them, else as decoded pixels.

    Attributes:
        stamp_ns: acquisition time on the local clock.
        jpeg: the JPEG file, or None.
        pixels: (height, width, 3) uint8 in BGR order, or None.
    """

    stamp_ns: int
    jpeg: bytes | None = None
    pixels: Any = None


class Source(Protocol):
    """A camera. Methods are called from one thread, except ``close``, which comes after it has ended."""

    def open(self) -> None:
        """Open the device; raises OSError with a sentence that names it."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came in time; raises OSError when the device has to be opened again."""

    def close(self) -> None:
        """Close the device; may be called twice."""

    def counters(self) -> dict[str, int]:
        """What went wrong so far, for diagnostics."""


def jpeg_size(jpeg: bytes) -> tuple[int, int] | None:
    """(width, height) from a JPEG's frame header, None if it has none (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return None
