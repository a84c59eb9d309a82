"""The list of episodes beside their bags: one line of JSON each in episodes.jsonl, for people, scripts and tools.

The bags themselves say everything that stands here; the list only saves opening them.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from insertion_vla_core.episode_metadata import EpisodeMetadata, Outcome
from insertion_vla_core.strict_yaml import StrictModel, sentences

INDEX_FILE = "episodes.jsonl"
NS = 1_000_000_000


class Recording(StrictModel):
    """One episode in the list.

    Attributes:
        name: of the episode.
        path: of its bag, relative to the list.
        source: what wrote it.
        outcome, instruction, seed, bad, reasons: as in the episode's metadata.
        start: when it began, local time (ISO 8601).
        duration_s: from its begin to its end.
        messages, bytes, lost: in the bag, and known to be missing in it.
    """

    name: str = Field(min_length=1)
    path: str = Field(min_length=1)
    source: str
    outcome: Outcome
    instruction: str
    seed: int | None = None
    bad: bool
    reasons: tuple[str, ...] = Field(default=(), strict=False)
    start: str
    duration_s: float = Field(ge=0.0)
    messages: int = Field(ge=0)
    bytes: int = Field(ge=0)
    lost: int = Field(ge=0)


def recording(
    episode: EpisodeMetadata, path: str, start_ns: int, duration_s: float, messages: int, size_bytes: int
) -> Recording:
    """The entry of an episode that began at `start_ns` (Unix time); its losses are those of its rates."""
    return Recording(
        name=episode.name,
        path=path,
        source=episode.source,
        outcome=episode.outcome,
        instruction=episode.instruction,
        seed=episode.seed,
        bad=episode.bad,
        reasons=episode.reasons,
        start=time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(start_ns / NS)),
        duration_s=round(duration_s, 3),
        messages=messages,
        bytes=size_bytes,
        lost=sum(rate.lost for rate in episode.rates),
    )


def list_recording(folder: str | Path, entry: Recording) -> None:
    """Put an episode into the list of a folder, in the place of an entry with the same name.

    Several processes may do so at once.

    Raises:
        OSError: the list cannot be written.
        ValueError: the list that is there is damaged.
    """
    with _locked(Path(folder)):
        entries = {known.name: known for known in read_index(folder)}
        entries[entry.name] = entry
        partial = Path(folder) / f".{INDEX_FILE}"
        partial.write_text("".join(known.model_dump_json() + "\n" for known in entries.values()), encoding="utf-8")
        partial.replace(Path(folder) / INDEX_FILE)


def read_index(folder: str | Path) -> list[Recording]:
    """The list of a folder; empty where there is none.

    Raises:
        ValueError: a line is no entry; the sentence names the line.
        OSError: it cannot be read.
    """
    path = Path(folder) / INDEX_FILE
    if not path.exists():
        return []
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entries.append(Recording.model_validate_json(line))
        except ValidationError as error:
            raise ValueError(
                f"expected an episode in line {number} of {path}: {'; '.join(sentences(error, Recording))}; "
                "correct the line or remove it"
            ) from None
    return entries


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
