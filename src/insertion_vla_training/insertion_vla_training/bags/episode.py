"""A bag to an episode: read, checked and turned into the rows of a store."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.contract import ActionSpec, Contract, ImageStream, Stream, parse_contract

from insertion_vla_training.bags.clock import check_counter, check_silence, check_stamps
from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.reader import BagReader
from insertion_vla_training.bags.rows import OTHER_TOPICS, RowTakers
from insertion_vla_training.stores import layout
from insertion_vla_training.stores.episode_data import PLACE, EpisodeData
from insertion_vla_training.stores.layout import Rows

BLOCK_BYTES = 1 << 20


def bag_files(bag: Path) -> list[Path]:
    """The MCAP files of a bag folder or file, by name.

    Raises:
        BagError: there is none.
    """
    files = sorted(bag.glob("*.mcap")) if bag.is_dir() else [bag] if bag.suffix == ".mcap" and bag.exists() else []
    if not files:
        raise BagError(f"expected a bag (a folder with .mcap files), got {bag}; name folders that were recorded")
    return files


def bag_hash(bag: Path) -> str:
    """SHA-256 (hex) over the content of a bag's MCAP files: a copy under another name has the same."""
    digest = hashlib.sha256()
    for file in bag_files(bag):
        with file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def read_episode(bag: Path, sha256: str, aline_type: str) -> EpisodeData:
    """Read a whole bag.

    Args:
        bag: its folder or file.
        sha256: its hash.
        aline_type: "f16" or "f32".

    Raises:
        BagError, ValueError: it cannot be read, misses a topic, or its times or values are not to be trusted.
    """
    reader = BagReader(bag)
    metadata = reader.episode()
    contract = parse_contract(metadata.contract, PLACE)
    topics = _topics(reader, contract, metadata.namespace)
    rows = RowTakers(contract, aline_type)
    receive, counters, failed = _take_all(reader, topics, rows)
    try:
        tables = {path: gathered.rows() for path, gathered in rows.tables.items()}
        reasons = _check(contract, tables, receive, counters, failed)
    except ValueError as error:
        raise BagError(f"bag {bag}: {error}") from error
    return EpisodeData(
        metadata=metadata,
        bag=str(bag),
        bag_sha256=sha256,
        start_ns=int(receive[0]),
        duration_s=float(receive[-1] - receive[0]) / 1e9,
        reasons=reasons,
        tables=tables,
    )


def _topics(reader: BagReader, contract: Contract, namespace: str) -> dict[str, str]:
    """The relative topic by its name in the bag."""
    optional = [stream for stream in contract.observations if stream.optional or stream.payload]
    required = [stream for stream in contract.observations if not (stream.optional or stream.payload)]
    wanted = {stream.topic: stream.type for stream in required}
    extras: list[Stream | ImageStream | ActionSpec] = list(optional)
    for source in (*contract.images, contract.action):
        if source.optional:
            extras.append(source)
        else:
            wanted[source.topic] = source.type
    found = reader.resolve(wanted, namespace)
    empty = [name for name in found.values() if reader.topics()[name].count == 0]
    if empty:
        raise BagError(
            f"expected messages in {reader.path}, there are none on {', '.join(empty)}: "
            "start their nodes before recording"
        )
    # Features can be computed later from the images, and the states of arm and task are extras.
    for topic, kind in (*((source.topic, source.type) for source in extras), *OTHER_TOPICS.items()):
        name = "/" + "/".join(part for part in (namespace.strip("/"), topic) if part)
        if topic not in found and name in reader.topics():
            found |= reader.resolve({topic: kind}, namespace)
    return {name: topic for topic, name in found.items()}


def _take_all(
    reader: BagReader, topics: dict[str, str], rows: RowTakers
) -> tuple[np.ndarray[Any, Any], dict[str, list[int]], dict[str, tuple[int, str]]]:
    """Receive times of all messages, counters of their senders, and what failed: how often and why at first."""
    receive: list[int] = []
    counters: dict[str, list[int]] = {}
    failed: dict[str, tuple[int, str]] = {}
    for message in reader.messages(topics):
        topic = topics[message.topic]
        decoded = reader.decode(message)
        receive.append(message.receive_ns)
        if hasattr(decoded, "received"):
            counters.setdefault(topic, []).append(int(decoded.received))
        for taker in rows.takers[topic]:
            try:
                taker(decoded, message.receive_ns)
            except ValueError as error:
                count, first = failed.get(topic, (0, str(error)))
                failed[topic] = (count + 1, first)
    return np.array(receive, np.int64), counters, failed


def _check(
    contract: Contract,
    tables: dict[str, Rows],
    receive: np.ndarray[Any, Any],
    counters: dict[str, list[int]],
    failed: dict[str, tuple[int, str]],
) -> tuple[str, ...]:
    """Why the episode is not fit for training; raises ValueError where it is not fit for anything."""
    reasons = [
        f"{count} messages on {topic} are not as they should be: {why}" for topic, (count, why) in failed.items()
    ]
    check_silence(receive)
    for topic, counted in counters.items():
        check_counter(topic, np.array(counted))
    for stream in contract.observations:
        rows = tables[layout.stream_path(stream.name)]
        if not stream.payload:
            check_stamps(stream.name, rows.columns["stamps"], rows.columns["receive"])
        if stream.optional or stream.payload:
            continue
        _check_rows(stream.name, stream.topic, rows, failed)
        if not np.isfinite(rows.columns["values"]).any():
            raise ValueError(
                f"'{stream.name}': expected numbers on {stream.topic}, all are NaN; the sensor was not "
                "ready (force: tare before recording); record again"
            )
    for image in contract.images:
        rows = tables[layout.image_path(image.name)]
        if not image.optional:
            _check_rows(image.name, image.topic, rows, failed)
        check_stamps(image.name, rows.columns["stamps"], rows.columns["receive"])
    chunks = tables[layout.CHUNKS]
    if not contract.action.optional:
        _check_rows("action", contract.action.topic, chunks, failed)
    check_stamps("action", chunks.columns["stamps"], chunks.columns["receive"])
    if not np.isfinite(chunks.columns["data"]).all() or not np.isfinite(chunks.columns["anchor"]).all():
        reasons.append("some chunks hold numbers that are not finite")
    return tuple(reasons)


def _check_rows(name: str, topic: str, rows: Rows, failed: dict[str, tuple[int, str]]) -> None:
    if len(rows) == 0:
        why = failed.get(topic, (0, f"no message on {topic} holds any"))[1]
        raise ValueError(f"'{name}': expected rows, got none: {why}")
