"""One damaged MCAP file: read what can be trusted and write it anew beside it.

Trusted are all chunks whose CRC is right and, of a chunk that was cut off, the messages in front of the cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.mcap_chunks import read_place, torn_messages
from insertion_vla_training.bags.mcap_out import McapOut
from insertion_vla_training.bags.mcap_records import Channel, Content, Damaged, RawMessage, Scan, Schema, scan
from insertion_vla_training.bags.metadata import BagFile, BagTopic
from insertion_vla_training.bags.reader import described_topics, embedded_custom_data

PART_SUFFIX = ".part"


@dataclass
class Salvage:
    """What became of one file.

    Attributes:
        file: what is whole now, None if nothing could be saved.
        topics: with the number of saved messages.
        custom_data: that the file carries about its bag.
        whole: nothing was wrong and nothing was written.
        from_torn_chunk: how many of the saved messages stood in front of a cut.
        lost_chunks: chunks that could not be read.
        lost_bytes: of those, and behind the last whole record.
        damage: what was wrong, a sentence each.
    """

    path: Path
    file: BagFile | None = None
    topics: tuple[BagTopic, ...] = ()
    custom_data: dict[str, str] = field(default_factory=dict)
    whole: bool = False
    from_torn_chunk: int = 0
    lost_chunks: int = 0
    lost_bytes: int = 0
    damage: list[str] = field(default_factory=list)

    @property
    def part(self) -> Path:
        """Where the file is written anew."""
        return self.path.with_name(self.path.name + PART_SUFFIX)


def salvage(path: Path, custom_data: Mapping[str, str]) -> Salvage:
    """Check a file and, if it is damaged, write what is good of it to `Salvage.part`.

    Args:
        path: of the file; it is not changed.
        custom_data: of the bag, for the new file; those that the file carries if empty.

    Raises:
        BagError: the file describes one topic with two types.
        OSError: it cannot be read, or the part cannot be written; then there is no part.
    """
    try:
        found = scan(path)
    except Damaged as error:
        return Salvage(path, lost_bytes=path.stat().st_size, damage=[str(error)])
    result = Salvage(path)
    if found.whole and _check(found, result):
        return result
    result.part.unlink(missing_ok=True)  # of an earlier attempt that was killed
    out = McapOut(result.part)
    try:
        result = _rewrite(found, path, out)
        result.custom_data = embedded_custom_data(found.content)
        metadata = out.metadata(path.name, custom_data or result.custom_data)
        out.close(metadata)
    except BaseException:
        out.abandon()
        result.part.unlink()
        raise
    if metadata.count:
        result.file, result.topics = metadata.files[0], metadata.topics
    else:
        result.part.unlink()
    return result


def _check(found: Scan, result: Salvage) -> bool:
    """Read all of a file that ends as it should; False if a chunk of it is damaged."""
    counts: Counter[int] = Counter()
    first_ns, last_ns = None, 0
    with result.path.open("rb") as stream:
        for place in found.places:
            try:
                messages = read_place(stream, place, found.content)
            except Damaged:
                return False
            for raw in messages:
                counts[raw.channel_id] += 1
                first_ns = raw.log_ns if first_ns is None else min(first_ns, raw.log_ns)
                last_ns = max(last_ns, raw.log_ns)
    found.content.counts = dict(counts)
    result.whole = True
    result.file = BagFile(result.path.name, first_ns or 0, last_ns, counts.total())
    result.topics = tuple(described_topics(found.content))
    result.custom_data = embedded_custom_data(found.content)
    return True


def _rewrite(found: Scan, path: Path, out: McapOut) -> Salvage:
    result = Salvage(path, lost_bytes=found.lost, damage=[found.damage] if found.damage else [])
    copy = _Copy(found.content, out)
    for messages, from_torn in _readable(found, path, result):
        copy.write(messages)
        result.from_torn_chunk += len(messages) * from_torn
    copy.describe()
    return result


def _readable(found: Scan, path: Path, result: Salvage) -> Iterator[tuple[list[RawMessage], bool]]:
    """Messages place by place, and whether they are from a chunk that was cut off; what is lost goes into `result`."""
    with path.open("rb") as stream:
        for place in found.places:
            try:
                yield read_place(stream, place, found.content), False
            except Damaged as error:
                result.lost_chunks += 1
                result.lost_bytes += place.size
                result.damage.append(f"{error} (at byte {place.offset})")
        if found.torn is not None:
            yield torn_messages(stream, found.torn, found.content), True


class _Copy:
    """Messages from one file into another with the same channels and schemas."""

    def __init__(self, content: Content, out: McapOut) -> None:
        self._content = content
        self._out = out
        self._known: dict[str, Schema] = {}
        self._done: set[int] = set()

    def write(self, messages: list[RawMessage]) -> None:
        self.describe()
        for raw in messages:
            topic = self._content.channels[raw.channel_id].topic
            self._out.write(topic, raw.data, raw.log_ns, raw.publish_ns, raw.sequence)

    def describe(self) -> None:
        """Topics that were met since the last call; also those without messages."""
        topics = dict(zip(self._content.channels, described_topics(self._content), strict=True))
        for number in topics.keys() - self._done:
            self._done.add(number)
            channel = self._content.channels[number]
            schema = self._content.schemas.get(channel.schema_id, Schema("unknown", "", ""))
            if self._known.setdefault(channel.topic, schema) != schema:
                raise BagError(f"expected one type of {channel.topic}, got {self._known[channel.topic].name} twice")
            self._add(topics[number], channel, schema)

    def _add(self, topic: BagTopic, channel: Channel, schema: Schema) -> None:
        if topic.name not in self._out.topics:
            self._out.add_topic(replace(topic, count=0), schema.encoding, schema.text, channel.metadata)
