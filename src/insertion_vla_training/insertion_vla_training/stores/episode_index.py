"""The index of a store's episodes, and which of them are for training and which for validation."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from insertion_vla_core.strict_yaml import StrictModel
from pydantic import Field, TypeAdapter

TRAIN, VALIDATION = "train", "val"
EPISODES_FILE, SPLIT_FILE = "episodes.json", "split.json"


class Split(StrictModel):
    """How episodes are split.

    Attributes:
        seed: another one gives another split.
        val_share: share of the episodes for validation, on average.
    """

    seed: int = 0
    val_share: float = Field(default=0.1, ge=0.0, lt=1.0)

    def of(self, name: str) -> str:
        """The split of an episode. It depends on its name and the seed alone, so no other episode can change it."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return VALIDATION if int.from_bytes(digest[:8], "big") / 2**64 < self.val_share else TRAIN


class Episode(StrictModel):
    """One episode of a store.

    Attributes:
        name, index: of the episode; the index is its place in `ends`.
        bag, bag_sha256: the folder that it came from, and its content.
        start_ns, duration_s: receive time of the first message, and from there to the last.
        instruction, outcome, notes, seed, source: as its metadata say.
        split: "train" or "val".
        bad, reasons: not fit for training, and why.
        counts: rows per table.
        weight: how often it is drawn, relative to others.
    """

    name: str
    index: int
    bag: str
    bag_sha256: str
    start_ns: int
    duration_s: float
    instruction: str
    outcome: str
    notes: str
    seed: int | None
    source: str
    split: str
    bad: bool
    reasons: tuple[str, ...] = Field(strict=False)
    counts: dict[str, int]
    weight: float = Field(default=1.0, ge=0.0)


_EPISODES = TypeAdapter(tuple[Episode, ...])


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step: a reader, or a start after a crash, sees the old or the new one."""
    waiting = path.with_name(f".{path.name}.new")
    with waiting.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, allow_nan=False)
        stream.flush()
        os.fsync(stream.fileno())
    waiting.replace(path)


def read_json(path: Path) -> Any:
    """A JSON file of a store.

    Raises:
        ValueError: it is not there or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected the file {path.name} of a store in {path.parent}, could not read it: {error}; "
            "copy the store again, or make it again from its bags"
        ) from error


def write_episodes(folder: Path, episodes: Iterable[Episode]) -> None:
    """Commit: from here on these are the episodes of the store."""
    write_json(folder / EPISODES_FILE, [episode.model_dump(mode="json") for episode in episodes])


def read_episodes(folder: Path) -> tuple[Episode, ...]:
    """The committed episodes in order; raises ValueError."""
    return _EPISODES.validate_python(read_json(folder / EPISODES_FILE))
