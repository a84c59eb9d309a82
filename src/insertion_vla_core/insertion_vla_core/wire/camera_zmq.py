"""The lab's cameras: ZMQ PUSH to PULL, two parts: JSON {camera, timestamp, size}, then the JPEG of that size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from insertion_vla_core.wire.errors import WireError
from insertion_vla_core.wire.force_udp import MAX_TIME_S

MAX_HEADER_BYTES = 4096
_JPEG_START = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Frame:
    """One camera image.

    Attributes:
        camera: the sender's name for the view.
        timestamp_s: when it was taken [s, sender's clock].
        jpeg: the compressed image.
    """

    camera: str
    timestamp_s: float
    jpeg: bytes


def encode(camera: str, timestamp: float, jpeg: bytes) -> list[bytes]:
    """The two message parts of a frame taken at `timestamp` [s]."""
    return [json.dumps({"camera": camera, "timestamp": timestamp, "size": len(jpeg)}).encode(), jpeg]


def decode(parts: Sequence[bytes], max_bytes: int) -> Frame:
    """The frame in two message parts. The JPEG is not decompressed here.

    Raises:
        WireError: wrong parts, header or size, more than `max_bytes`, or no JPEG.
    """
    if len(parts) != 2:
        raise WireError(f"expected two parts, a JSON header and a JPEG, got {len(parts)}")
    header, jpeg = parts
    if len(header) > MAX_HEADER_BYTES:
        raise WireError(f"expected a header of at most {MAX_HEADER_BYTES} bytes, got {len(header)}")
    if len(jpeg) > max_bytes:
        raise WireError(f"expected a JPEG of at most {max_bytes} bytes, got {len(jpeg)}")
    try:
        fields = json.loads(bytes(header))
    except (ValueError, RecursionError) as error:
        raise WireError(f"expected a JSON header, got {bytes(header[:40])!r}") from error
    if not isinstance(fields, dict):
        raise WireError(f"expected a JSON object as header, got {type(fields).__name__}")
    camera, timestamp, size = fields.get("camera"), fields.get("timestamp"), fields.get("size")
    if not isinstance(camera, str) or not camera:
        raise WireError(f"expected the camera's name in the header, got {_short(camera)}")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float) or not 0 <= timestamp < MAX_TIME_S:
        raise WireError(
            f"expected a timestamp [s] since 1970 in the header of {_short(camera)}, got {_short(timestamp)}"
        )
    if size != len(jpeg):
        raise WireError(f"expected the {_short(size)} bytes that the header of {_short(camera)} names, got {len(jpeg)}")
    if bytes(jpeg[:3]) != _JPEG_START:
        raise WireError(f"expected a JPEG from {_short(camera)}, got data that begin with {bytes(jpeg[:3])!r}")
    return Frame(camera, float(timestamp), bytes(jpeg))


def _short(value: object) -> str:
    try:
        return repr(value)[:60]
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a very large number"
