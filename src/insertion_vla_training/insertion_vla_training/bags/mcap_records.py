"""The records of an MCAP file (mcap.dev/spec), read so that a damaged file costs no more than its damaged part.

A scan walks over the record heads only. It needs no index at the end of the file, which a killed writer never wrote,
and ends at the first record that is not whole. What is in the chunks is read later (mcap_chunks).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, STATISTICS, METADATA, DATA_END = 2, 3, 4, 5, 6, 11, 12, 15
SMALL_RECORDS = (SCHEMA, CHANNEL, STATISTICS, METADATA)
SMALL_BYTES = 1 << 28

RECORD_HEAD = struct.Struct("<BQ")
MESSAGE_HEAD = struct.Struct("<HIQQ")
CHUNK_HEAD = struct.Struct("<QQQI")


class Damaged(Exception):
    """A record is not what it should be; the text says where and what."""


@dataclass(frozen=True)
class Schema:
    """A type: its name, how its definition is written ('ros2msg') and the definition."""

    name: str
    encoding: str
    text: str


@dataclass(frozen=True)
class Channel:
    """A topic: its name, the encoding of its messages ('cdr'), its type by schema number and rosbag2's extras."""

    topic: str
    encoding: str
    schema_id: int
    metadata: dict[str, str]


class RawMessage(NamedTuple):
    """One message as it stands in the file; times in ns."""

    log_ns: int
    channel_id: int
    sequence: int
    publish_ns: int
    data: bytes


class Place(NamedTuple):
    """A chunk, or a run of messages outside chunks, and the times [ns] within it."""

    offset: int
    size: int
    first_ns: int
    last_ns: int
    chunk: bool


@dataclass
class Content:
    """What a file says of itself.

    Attributes:
        counts: messages per channel number, from the statistics; None without them.
        metadata: records by name; of several with one name the last.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    counts: dict[int, int] | None = None


@dataclass
class Scan:
    """Where everything is in a file.

    Attributes:
        whole: the file ends as it should.
        end: [bytes] up to which its records are whole.
        damage: what is wrong at `end`, empty for a whole file.
        torn: the chunk that was cut off there: its offset and the bytes of it that are left.
        lost: [bytes] behind `end` that held messages, as far as one can tell.
    """

    size: int
    places: list[Place]
    content: Content
    whole: bool
    end: int
    damage: str
    torn: tuple[int, int] | None = None
    lost: int = 0


def scan(path: Path) -> Scan:
    """Walk over all records of a file.

    Raises:
        Damaged: it does not even begin as an MCAP file.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if stream.read(len(MAGIC)) != MAGIC:
            raise Damaged(
                f"expected an MCAP file, {path.name} begins with other bytes" if size else "the file is empty"
            )
        return _Walk(stream, size).run()


class _Walk:
    """One pass over the heads."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._content = Content()
        self._places: list[Place] = []
        self._torn: tuple[int, int] | None = None
        self._index_only = False
        self._end = len(MAGIC)

    def run(self) -> Scan:
        damage = ""
        try:
            while self._record():
                pass
        except (Damaged, struct.error, UnicodeDecodeError) as error:
            damage = str(error) or type(error).__name__
        lost = self._size - self._end if damage and not self._index_only else 0
        return Scan(self._size, self._places, self._content, not damage, self._end, damage, self._torn, lost)

    def _record(self) -> bool:
        """Take one record; False after the last."""
        head = self._stream.read(RECORD_HEAD.size)
        if len(head) < RECORD_HEAD.size:
            raise Damaged(f"the file ends at {self._size} bytes without a footer")
        opcode, length = RECORD_HEAD.unpack(head)
        start = self._end + RECORD_HEAD.size
        if opcode == 0:
            raise Damaged(f"no record at byte {self._end}")
        if start + length > self._size:
            self._index_only = FOOTER <= opcode <= DATA_END and opcode not in (MESSAGE, CHUNK)
            if opcode == CHUNK:
                self._torn = (start, self._size - start)
            raise Damaged(f"the record at byte {self._end} is cut off: {self._size - start} of {length} bytes are left")
        if opcode == FOOTER:
            self._stream.seek(start + length)
            if self._stream.read(len(MAGIC)) != MAGIC:
                self._index_only = True
                raise Damaged("the file ends within its footer")
            self._end = start + length + len(MAGIC)
            return False
        if opcode == CHUNK:
            first_ns, last_ns, _, _ = CHUNK_HEAD.unpack(self._stream.read(CHUNK_HEAD.size))
            self._places.append(Place(start, length, first_ns, last_ns, True))
        elif opcode == MESSAGE:
            _, _, log_ns, _ = MESSAGE_HEAD.unpack(self._stream.read(MESSAGE_HEAD.size))
            self._loose(Place(self._end, RECORD_HEAD.size + length, log_ns, log_ns, False))
        elif opcode in SMALL_RECORDS:
            if length > SMALL_BYTES:
                raise Damaged(f"the record at byte {self._end} claims {length} bytes")
            take_record(self._content, opcode, self._stream.read(length))
        self._end = start + length
        self._stream.seek(self._end)
        return True

    def _loose(self, message: Place) -> None:
        """Messages that stand side by side outside chunks make one place of up to a megabyte."""
        last = self._places[-1] if self._places else None
        if last is None or last.chunk or last.offset + last.size != message.offset or last.size > 1 << 20:
            self._places.append(message)
            return
        first_ns, last_ns = min(last.first_ns, message.first_ns), max(last.last_ns, message.last_ns)
        self._places[-1] = Place(last.offset, last.size + message.size, first_ns, last_ns, False)


def take_record(content: Content, opcode: int, data: bytes) -> None:
    """Note a schema, channel, statistics or metadata record; raises struct.error or UnicodeDecodeError if broken."""
    view = _Fields(data)
    if opcode == SCHEMA:
        number = view.u16()
        content.schemas[number] = Schema(view.text(), view.text(), view.text())
    elif opcode == CHANNEL:
        number, schema_id = view.u16(), view.u16()
        topic, encoding = view.text(), view.text()
        content.channels[number] = Channel(topic, encoding, schema_id, view.mapping())
    elif opcode == METADATA:
        name = view.text()
        content.metadata[name] = view.mapping()
    elif opcode == STATISTICS:
        content.counts = view.counts()


class _Fields:
    """Fields of a record, one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def u16(self) -> int:
        return int(self._number("<H", 2))

    def text(self) -> str:
        size = self._number("<I", 4)
        if self._at + size > len(self._data):
            raise struct.error("a text runs beyond its record")
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def mapping(self) -> dict[str, str]:
        end = self._number("<I", 4) + self._at
        result = {}
        while self._at < end:
            key = self.text()
            result[key] = self.text()
        return result

    def counts(self) -> dict[int, int]:
        self._at += struct.calcsize("<QHIIIIQQ")
        end = self._number("<I", 4) + self._at
        result = {}
        while self._at < end:
            channel = self.u16()
            result[channel] = self._number("<Q", 8)
        return result

    def _number(self, kind: str, size: int) -> int:
        value: int = struct.unpack_from(kind, self._data, self._at)[0]
        self._at += size
        return value
