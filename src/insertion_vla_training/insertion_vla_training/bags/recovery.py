"""Make a bag whole again whose recorder was killed, whose machine lost power, or whose disk ran full.

Damaged files are written anew from what can be trusted of them (bag_salvage) and kept beside under another name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from insertion_vla_core.episode_metadata import end_note, noted_recording

from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.metadata import BagMetadata, BagTopic, read_metadata, write_metadata
from insertion_vla_training.bags.salvage import Salvage, salvage

DAMAGED_SUFFIX = ".damaged"
_NUMBER = re.compile(r"_(\d+)$")


@dataclass(frozen=True)
class Recovery:
    """What became of a bag.

    Attributes:
        files: one entry per MCAP file.
        metadata: of the bag as it is now.
        metadata_written: metadata.yaml was made anew.
        kept: damaged files under their new names.
    """

    files: list[Salvage]
    metadata: BagMetadata
    metadata_written: bool
    kept: list[Path]


def recover(folder: str | Path) -> Recovery:
    """Make the bag in a folder whole, in place; a whole bag is left as it is.

    Raises:
        BagError: it is no bag, it is still being recorded, or nothing in it can be saved; then nothing was changed.
        OSError: it cannot be read or written.
    """
    folder = Path(folder)
    paths = mcap_files(folder)
    for path in paths:
        _refuse_while_written(path)
    known = _known_metadata(folder)
    custom_data = known.custom_data if known else noted_recording(folder)
    files: list[Salvage] = []
    try:
        for path in paths:
            files.append(salvage(path, custom_data))
            custom_data = custom_data or files[-1].custom_data
        if not any(salvaged.file for salvaged in files):
            wrong = "; ".join(text for salvaged in files for text in salvaged.damage)
            raise BagError(f"expected something to save in {folder}, found no whole message ({wrong}); remove it")
        kept = [_exchange(salvaged) for salvaged in files if not salvaged.whole]
    finally:
        for salvaged in files:
            salvaged.part.unlink(missing_ok=True)
    metadata = BagMetadata(
        tuple(salvaged.file for salvaged in files if salvaged.file), _joined_topics(files), dict(custom_data)
    )
    wanted = known is None or known.files != metadata.files or any(not salvaged.whole for salvaged in files)
    if wanted:
        write_metadata(folder, metadata)
    end_note(folder)
    return Recovery(files, metadata, wanted, kept)


def mcap_files(folder: Path) -> list[Path]:
    """The .mcap files of a bag in the order of the numbers at the end of their names; raises BagError for none."""
    if not folder.is_dir():
        raise BagError(f"expected the folder of a bag, {folder} is {'a file' if folder.exists() else 'not there'}")

    def number(path: Path) -> tuple[int, str]:
        match = _NUMBER.search(path.stem)
        return (int(match[1]) if match else -1, path.name)

    files = sorted((path for path in folder.glob("*.mcap") if path.is_file()), key=number)
    if not files:
        raise BagError(f"expected .mcap files in {folder}, found none: it is no bag that can be recovered")
    return files


def _known_metadata(folder: Path) -> BagMetadata | None:
    try:
        return read_metadata(folder)
    except BagError:
        # Missing or damaged: it is made anew from the files.
        return None


def _exchange(salvaged: Salvage) -> Path:
    """Put the new file in the place of the damaged one, which gets another name."""
    kept = salvaged.path.with_name(salvaged.path.name + DAMAGED_SUFFIX)
    count = 1
    while kept.exists():
        count += 1
        kept = salvaged.path.with_name(f"{salvaged.path.name}{DAMAGED_SUFFIX}{count}")
    if salvaged.file is None:
        salvaged.path.rename(kept)
        return kept
    try:
        os.link(salvaged.path, kept)
    except OSError:  # a memory stick's file system has no links
        salvaged.path.rename(kept)
    salvaged.part.replace(salvaged.path)
    return kept


def _joined_topics(files: Sequence[Salvage]) -> tuple[BagTopic, ...]:
    topics: dict[str, BagTopic] = {}
    for topic in (topic for salvaged in files if salvaged.file for topic in salvaged.topics):
        known = topics.get(topic.name)
        topics[topic.name] = replace(topic, count=known.count + topic.count) if known else topic
    return tuple(topics.values())


def _refuse_while_written(path: Path) -> None:
    for process in _writers(path):
        raise BagError(f"expected a recording that has ended, process {process} still writes {path}; stop it first")


def _writers(path: Path) -> Iterator[int]:
    """Processes that have a file open for writing, as far as this user can see them."""
    status = path.stat()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            opened = os.stat(link)
            if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino):
                continue
            flags = (link.parents[1] / "fdinfo" / link.name).read_text().split("flags:")[1].split()[0]
        except (OSError, IndexError):
            continue  # closed meanwhile, or another user's
        if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
            yield int(link.parts[2])
