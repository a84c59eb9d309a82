"""Read a rosbag2 bag of MCAP files without ROS."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from insertion_vla_core.episode_metadata import EpisodeMetadata, from_custom_data

from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.mcap_chunks import read_place
from insertion_vla_training.bags.mcap_records import Content, Damaged, Place, RawMessage, Scan, Schema, scan
from insertion_vla_training.bags.message_types import MessageType, message_type
from insertion_vla_training.bags.metadata import (
    MCAP_KEY,
    MCAP_RECORD,
    BagMetadata,
    BagTopic,
    is_latched,
    parse_metadata,
    read_metadata,
)


class Message(NamedTuple):
    """One message: its topic and type, when it was received and published [ns], and its CDR bytes."""

    topic: str
    type: str
    receive_ns: int
    publish_ns: int
    data: bytes


class BagReader:
    """A bag folder, or one .mcap file of it.

    Attributes:
        path: of the folder or file.
        files: its MCAP files in order.
        custom_data: texts that the bag carries about itself.

    Raises:
        BagError: it is no whole bag; a recording that was cut off is read after `recover`.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        metadata: BagMetadata | None = None
        if self.path.is_dir():
            metadata = read_metadata(self.path)
            self.files = [self.path / file.name for file in metadata.files]
            if not self.files:
                raise BagError(f"expected MCAP files named in the metadata of {self.path}, found none; try: recover")
        elif self.path.suffix == ".mcap":
            self.files = [self.path]
        else:
            raise BagError(f"expected a bag folder or an .mcap file, got {self.path}")
        self._scans = [self._scanned(file) for file in self.files]
        self.custom_data = metadata.custom_data if metadata else embedded_custom_data(self._scans[-1].content)
        self._topics = self._described()
        self._types = {schema.name: schema for found in self._scans for schema in found.content.schemas.values()}

    @property
    def name(self) -> str:
        return self.path.stem if self.path.suffix == ".mcap" else self.path.name

    def topics(self) -> dict[str, BagTopic]:
        """Every topic by its name, with its type and number of messages."""
        return dict(self._topics)

    def episode(self) -> EpisodeMetadata:
        """What the episode says of itself.

        Raises:
            BagError: the bag does not say, or says it wrongly.
        """
        try:
            return from_custom_data(self.custom_data, f"bag {self.path}")
        except ValueError as error:
            raise BagError(str(error)) from error

    def span_ns(self) -> tuple[int, int]:
        """Receive times of the first and the last message; (0, 0) for an empty bag."""
        places = [place for found in self._scans for place in found.places if place.last_ns]
        if not places:
            return 0, 0
        return min(place.first_ns for place in places), max(place.last_ns for place in places)

    def resolve(self, wanted: Mapping[str, str], namespace: str = "/") -> dict[str, str]:
        """Where the contract's relative topics are in this bag.

        Args:
            wanted: type by relative topic ("joint_states").
            namespace: of the graph; the episode's metadata name it.

        Returns:
            The bag's topic ("/arm1/joint_states") by relative topic.

        Raises:
            BagError: topics are missing or have another type; all of them are named.
        """
        wrong, found = [], {}
        for relative, kind in wanted.items():
            name = "/" + "/".join(part for part in (namespace.strip("/"), relative.strip("/")) if part)
            topic = self._topics.get(name)
            if topic is None:
                wrong.append(f"{name} is missing{self._nearest(name)}")
            elif topic.type != kind:
                wrong.append(f"{name} is {topic.type} and not {kind}")
            else:
                found[relative] = name
        if wrong:
            raise BagError(f"expected the topics of the contract in {self.path}: {'; '.join(wrong)}")
        return found

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Messages in the order they were received (file by file); of equal times in the order of the file.

        Args:
            topics: only these; None for all.

        Raises:
            BagError: a topic is not in the bag, or a part of the file is damaged.
        """
        for name in topics or ():
            if name not in self._topics:
                raise BagError(f"expected topic {name} in {self.path}, it is missing{self._nearest(name)}")
        for file, found in zip(self.files, self._scans, strict=True):
            yield from self._of_file(file, found, topics)

    def decode(self, message: Message) -> Any:
        """The message as an object with its fields; arrays of numbers are read-only numpy views.

        Raises:
            BagError: its type is not described in the bag, or its bytes are damaged.
        """
        try:
            return self.type(message.type).decode(message.data)
        except BagError as error:
            raise BagError(f"{self.path}, {message.topic} at {message.receive_ns} ns: {error}") from error

    def type(self, name: str) -> MessageType:
        """A message type of this bag; raises BagError if the bag does not describe it."""
        schema = self._types.get(name, Schema(name, "", ""))
        return message_type(schema.name, schema.encoding, schema.text)

    def _scanned(self, file: Path) -> Scan:
        try:
            found = scan(file)
            if not found.whole:
                raise Damaged(found.damage)
            if found.places and (found.content.counts is None or not found.content.channels):
                found.content.counts = _counted(file, found)
        except Damaged as error:
            raise BagError(
                f"{file}: {error}; the recording was cut off or damaged, try: recover {self.path}"
            ) from error
        except FileNotFoundError as error:
            raise BagError(
                f"expected {file}, there is none; copy the bag again, or try: recover {self.path}"
            ) from error
        return found

    def _described(self) -> dict[str, BagTopic]:
        topics: dict[str, BagTopic] = {}
        for topic in (topic for found in self._scans for topic in described_topics(found.content)):
            known = topics.get(topic.name, topic)
            if known.type != topic.type:
                raise BagError(f"expected one type of {topic.name} in {self.path}, got {known.type} and {topic.type}")
            count = topic.count if known is topic else known.count + topic.count
            topics[topic.name] = BagTopic(topic.name, topic.type, count, topic.latched, topic.type_hash)
        return topics

    def _of_file(self, file: Path, found: Scan, topics: Collection[str] | None) -> Iterator[Message]:
        names = {
            number: (channel.topic, self._topics[channel.topic].type)
            for number, channel in found.content.channels.items()
            if topics is None or channel.topic in topics
        }
        try:
            for raw in ordered(file, found):
                name = names.get(raw.channel_id)
                if name is not None:
                    yield Message(name[0], name[1], raw.log_ns, raw.publish_ns, raw.data)
        except Damaged as error:
            raise BagError(f"{file}: {error}; the file is damaged, try: recover {self.path}") from error

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._topics, 1)
        return f" (there is {near[0]})" if near else f" (there are {', '.join(self._topics) or 'no topics'})"


def ordered(file: Path, found: Scan) -> Iterator[RawMessage]:
    """Messages of a file by log time; holds no more than the chunks that overlap in time. Raises Damaged."""
    waiting: list[RawMessage] = []
    with file.open("rb") as stream:
        for place in sorted(found.places, key=lambda place: place.first_ns):
            if waiting and place.first_ns > waiting[0].log_ns:
                ready = _take_before(waiting, place)
                yield from ready
            waiting += read_place(stream, place, found.content)
            waiting.sort(key=_log_ns)
    yield from waiting


def _take_before(waiting: list[RawMessage], place: Place) -> list[RawMessage]:
    """Remove and give the messages that no later chunk can come before."""
    count = next((i for i, raw in enumerate(waiting) if raw.log_ns >= place.first_ns), len(waiting))
    ready = waiting[:count]
    del waiting[:count]
    return ready


def _log_ns(raw: RawMessage) -> int:
    return raw.log_ns


def _counted(file: Path, found: Scan) -> dict[int, int]:
    """Messages per channel of a file without statistics."""
    counts: dict[int, int] = {}
    with file.open("rb") as stream:
        for place in found.places:
            for raw in read_place(stream, place, found.content):
                counts[raw.channel_id] = counts.get(raw.channel_id, 0) + 1
    return counts


def described_topics(content: Content) -> list[BagTopic]:
    """The topics of one file."""
    topics = []
    for number, channel in content.channels.items():
        schema = content.schemas.get(channel.schema_id, Schema("unknown", "", ""))
        topics.append(
            BagTopic(
                name=channel.topic,
                type=schema.name,
                count=(content.counts or {}).get(number, 0),
                latched=is_latched(channel.metadata.get("offered_qos_profiles", "")),
                type_hash=channel.metadata.get("topic_type_hash", ""),
            )
        )
    return topics


def embedded_custom_data(content: Content) -> dict[str, str]:
    """The custom data that the MCAP file itself carries; empty if there are none that can be read."""
    text = content.metadata.get(MCAP_RECORD, {}).get(MCAP_KEY, "")
    try:
        return parse_metadata(text, "the file").custom_data if text else {}
    except BagError:
        return {}
