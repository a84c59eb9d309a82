"""Options of SequentialCompressionWriter."""

from dataclasses import dataclass
from enum import Enum


class CompressionMode(Enum):
    """NONE, or compression, which this package does per MCAP chunk in both modes."""

    NONE = 0
    FILE = 1
    MESSAGE = 2


@dataclass
class CompressionOptions:
    """Format ('zstd') and mode; queue and threads are accepted and not needed."""

    compression_format: str = ""
    compression_mode: CompressionMode = CompressionMode.NONE
    compression_queue_size: int = 1
    compression_threads: int = 0


def compression_mode_from_string(compression_mode: str) -> CompressionMode:
    """The mode of that name, in upper or lower case; raises RuntimeError for another word."""
    try:
        return CompressionMode[(compression_mode or "NONE").upper()]
    except KeyError as error:
        raise RuntimeError(f"expected compression mode NONE, FILE or MESSAGE, got '{compression_mode}'") from error


def compression_mode_to_string(compression_mode: CompressionMode) -> str:
    return compression_mode.name
