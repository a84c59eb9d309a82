"""What every importer makes of one episode, and how it becomes a bag."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from insertion_vla_core.contract import ActionSpec, Contract, ImageStream, Stream, parse_contract
from insertion_vla_core.episode_metadata import EpisodeMetadata, to_custom_data

from insertion_vla_training.bags.writer import BagWriter

SOURCE = "import"
HASH_KEY = "source_sha256"
BLOCK_BYTES = 1 << 20


class Entry(NamedTuple):
    """One message: when it was received [ns], its relative topic, and what gives its CDR bytes."""

    receive_ns: int
    topic: str
    encode: Callable[[], bytes]


@dataclass(frozen=True)
class Options:
    """What the command line says about the recordings; the formats themselves do not say it.

    Attributes:
        rate_hz: of rows without time stamps; None takes what the file says, or 10 Hz.
        force_last: the force is the last of the 1026 channels of a block, not the first.
        force_scale, force_zero: N per sensor unit, and the sensor units of no force; None keeps sensor units.
        sensor_offset_s, camera_offset_s: receiver's minus sender's clock, where the recording does not tell.
        tool_frame: recorded motion commands are in axes of the tool, not of the base.
        instruction, outcome: for episodes that carry none.
    """

    rate_hz: float | None = None
    force_last: bool = False
    force_scale: float | None = None
    force_zero: float = 0.0
    sensor_offset_s: float | None = None
    camera_offset_s: float | None = None
    tool_frame: bool = True
    instruction: str = ""
    outcome: str = "unknown"


@dataclass
class Imported:
    """One episode.

    Attributes:
        contract: YAML of what these data have.
        instruction, outcome: its label.
        entries: its messages, in any order.
        notes: for its metadata.
        parameters: how it was imported (offsets, rates, channel order).
        problems: files or rows that could not be used, a sentence each; the rest was imported.
        reasons: why it is not fit for training.
    """

    contract: str
    instruction: str
    outcome: str
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Episode(NamedTuple):
    """An episode that can be imported: its name, where it lies, the hash of its content, and what reads it."""

    name: str
    place: str
    sha256: Callable[[], str]
    read: Callable[[], Imported]


Found = tuple[list[Episode], list[str]]  # episodes, and why others cannot be imported


def topic_types(contract: Contract) -> dict[str, str]:
    """Type by relative topic."""
    sources: tuple[Stream | ImageStream | ActionSpec, ...] = (
        *contract.observations,
        *contract.images,
        contract.action,
    )
    return {source.topic: source.type for source in sources}


def write_bag(name: str, imported: Imported, sha256: str, folder: Path) -> None:
    """Write an episode as a bag; it is there as a whole or not at all.

    Raises:
        ValueError: there is no message, or one cannot be encoded.
        OSError: the disk is full.
    """
    if not imported.entries:
        raise ValueError("expected data to import, got none: every part of it is missing or unusable")
    types = topic_types(parse_contract(imported.contract, "the contract of the import"))
    metadata = EpisodeMetadata.model_validate(
        {
            "name": name,
            "source": SOURCE,
            "contract": imported.contract,
            "instruction": imported.instruction,
            "outcome": imported.outcome,
            "notes": " ".join([*imported.notes, *imported.problems]),
            "parameters": {SOURCE: {**imported.parameters, HASH_KEY: sha256}},
            "bad": bool(imported.reasons),
            "reasons": tuple(imported.reasons),
        }
    )
    present = {entry.topic for entry in imported.entries}
    with BagWriter(folder, to_custom_data(metadata)) as writer:
        for topic, kind in types.items():
            if topic in present:
                writer.add_topic(f"/{topic}", kind)
        for entry in sorted(imported.entries, key=lambda entry: entry.receive_ns):
            writer.write(f"/{entry.topic}", entry.encode(), entry.receive_ns)


def files_hash(files: Iterable[Path], root: Path) -> str:
    """SHA-256 (hex) over the names below `root` and contents of files."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
