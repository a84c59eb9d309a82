"""What is known of one inspected episode: judgements that need nothing else, and numbers to compare with the others.

Kept as JSON beside its pictures, so that an episode is looked at once.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from insertion_vla_core.contract import contract_hash
from insertion_vla_core.limits import Limits
from insertion_vla_core.strict_yaml import StrictModel
from pydantic import ValidationError

from insertion_vla_training.inspection.check import Check
from insertion_vla_training.stores.episode_index import Episode, write_json
from insertion_vla_training.stores.store import Store

MEASURED_FILE = "measured.json"
Numbers = tuple[float | None, ...]
Texts = tuple[str, ...]


class View(StrictModel):
    """Images of one view, in the order of arrival.

    Attributes:
        times_s: since the start of the episode.
        sharpness: variance of the Laplacian, None where there is no picture.
        hashes: of the pixels, "" for no picture.
    """

    times_s: Numbers
    sharpness: Numbers
    hashes: Texts


class Measured(StrictModel):
    """One episode.

    Attributes:
        digest: of all that it depends on; another one means that it must be looked at again.
        checks: judged by the contract and the limits alone.
        views: by name.
        chunk_times_s: of the chunks, since the start of the episode.
        jumps: by name (inspect_actions.JUMPS), one number per chunk, None for none.
        missing_alines: share of the force rows without an A-line; None without a force sensor.
        features: how many there are; None where the contract has none.
        streams: hash of the values of every stream of numbers.
        pictures: file names beside it, by title.
    """

    digest: str
    checks: tuple[Check, ...]
    views: dict[str, View]
    chunk_times_s: Numbers
    jumps: dict[str, Numbers]
    missing_alines: float | None
    features: int | None
    streams: dict[str, str]
    pictures: dict[str, str]


def digest_of(store: Store, episode: Episode, limits: Limits) -> str:
    """Changes with the episode, the contract, the limits and the code that looks at it."""
    parts = [
        episode.model_dump_json(exclude={"split", "weight", "index"}),
        contract_hash(store.contract),
        limits.model_dump_json(),
        _code_hash(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@lru_cache(maxsize=1)
def _code_hash() -> str:
    code = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        code.update(file.read_bytes())
    return code.hexdigest()


def save_measured(folder: Path, measured: Measured) -> None:
    """The last file of an episode's folder: where it is there, the pictures are too."""
    write_json(folder / MEASURED_FILE, measured.model_dump(mode="json"))


def load_measured(folder: Path, digest: str) -> Measured | None:
    """What an earlier run found, None where there is nothing that is up to date."""
    try:
        measured = Measured.model_validate_json((folder / MEASURED_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        return None  # of another version, or damaged: it is only a copy of what the store says
    there = all((folder / name).is_file() for name in measured.pictures.values())
    return measured if measured.digest == digest and there else None
