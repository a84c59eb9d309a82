"""Messages out of the chunks of an MCAP file: each chunk is checked against its CRC before anything of it is used."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import lz4.frame
import zstandard

from insertion_vla_training.bags.mcap_records import (
    CHUNK_HEAD,
    MESSAGE,
    MESSAGE_HEAD,
    RECORD_HEAD,
    SMALL_RECORDS,
    Content,
    Damaged,
    Place,
    RawMessage,
    take_record,
)

CHUNK_BYTES = 1 << 31  # a chunk that claims to be larger is damaged


def read_place(stream: BinaryIO, place: Place, content: Content) -> list[RawMessage]:
    """The messages of a chunk or run in the order of the file; its schemas and channels go into `content`.

    Raises:
        Damaged: the chunk does not decompress, its CRC is wrong, or its records are not whole.
    """
    stream.seek(place.offset)
    data = stream.read(place.size)
    if place.chunk:
        data = _chunk_records(data)
    messages, rest = parse_messages(data, content)
    if rest:
        raise Damaged(f"the chunk at byte {place.offset} holds a record that is not whole")
    return messages


def parse_messages(data: bytes, content: Content) -> tuple[list[RawMessage], int]:
    """Messages among the whole records of `data`, and the number of bytes at its end that are no whole record."""
    messages = []
    at, size = 0, len(data)
    while at + RECORD_HEAD.size <= size:
        opcode, length = RECORD_HEAD.unpack_from(data, at)
        start = at + RECORD_HEAD.size
        stop = start + length
        if stop > size:
            break
        if opcode == MESSAGE:
            if length < MESSAGE_HEAD.size:
                break
            channel_id, sequence, log_ns, publish_ns = MESSAGE_HEAD.unpack_from(data, start)
            if channel_id not in content.channels:
                raise Damaged(f"a message belongs to channel {channel_id}, which is not described")
            messages.append(
                RawMessage(log_ns, channel_id, sequence, publish_ns, data[start + MESSAGE_HEAD.size : stop])
            )
        elif opcode in SMALL_RECORDS:
            try:
                take_record(content, opcode, data[start:stop])
            except (struct.error, UnicodeDecodeError) as error:
                raise Damaged(f"a schema or channel is broken: {error}") from error
        at = stop
    return messages, size - at


def _chunk_records(data: bytes) -> bytes:
    """The uncompressed content of a whole chunk record."""
    compression, size, crc, records = _chunk_head(data)
    if len(records) != struct.unpack_from("<Q", data, len(data) - len(records) - 8)[0]:
        raise Damaged("a chunk's length is wrong")
    if size > CHUNK_BYTES:
        raise Damaged(f"a chunk claims {size} bytes")
    content = _decompress(compression, records, size)
    if len(content) != size:
        raise Damaged(f"expected {size} bytes in a chunk, got {len(content)}")
    if crc and zlib.crc32(content) != crc:
        raise Damaged("a chunk's CRC is wrong")
    return content


def _chunk_head(data: bytes) -> tuple[str, int, int, bytes]:
    """(compression, uncompressed size, CRC, compressed records as far as they are there)."""
    try:
        _, _, size, crc = CHUNK_HEAD.unpack_from(data)
        length = struct.unpack_from("<I", data, CHUNK_HEAD.size)[0]
        start = CHUNK_HEAD.size + 4
        compression = data[start : start + length].decode()
        struct.unpack_from("<Q", data, start + length)
    except (struct.error, UnicodeDecodeError) as error:
        raise Damaged(f"a chunk's head is broken: {error}") from error
    return compression, size, crc, data[start + length + 8 :]


def _decompress(compression: str, records: bytes, size: int) -> bytes:
    try:
        if compression == "zstd":
            # A frame that claims more than the chunk would make room for it first.
            if zstandard.get_frame_parameters(records).content_size not in (size, zstandard.CONTENTSIZE_UNKNOWN):
                raise Damaged("a chunk's size is wrong")
            return zstandard.ZstdDecompressor().decompress(records, max_output_size=size) if size else b""
        if compression == "lz4":
            decompressor = lz4.frame.LZ4FrameDecompressor()
            return decompressor.decompress(records, max_length=size)
    except (zstandard.ZstdError, RuntimeError) as error:
        raise Damaged(f"a chunk does not decompress: {error}") from error
    if compression:
        raise Damaged(f"expected chunks compressed by zstd or lz4, got '{compression}'")
    return records


def torn_messages(stream: BinaryIO, torn: tuple[int, int], content: Content) -> list[RawMessage]:
    """Messages at the beginning of a chunk that was cut off; none where its beginning is of no use.

    The CRC covers the whole chunk and cannot be checked; the bytes in front of a cut are as they were written.
    """
    stream.seek(torn[0])
    try:
        compression, size, _, records = _chunk_head(stream.read(torn[1]))
        if size > CHUNK_BYTES:
            return []
        return parse_messages(_decompress_beginning(compression, records), content)[0]
    except (Damaged, zstandard.ZstdError, RuntimeError):
        return []


def _decompress_beginning(compression: str, records: bytes) -> bytes:
    if compression == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(records)
    if compression == "lz4":
        return lz4.frame.LZ4FrameDecompressor().decompress(records)
    return records
