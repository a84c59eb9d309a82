"""One episode on its way into a store: what a reading process hands to the writing one, as plain .npy files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.contract import Contract, differences, parse_contract
from insertion_vla_core.episode_metadata import EpisodeMetadata
from numpy.typing import NDArray

from insertion_vla_training.stores.layout import Rows

HEAD, DIFFERENCES_NAMED = "episode.json", 5
PLACE = "the metadata of the episode"  # as the metadata name it themselves: the contract is parsed once


@dataclass(frozen=True, eq=False)
class EpisodeData:
    """An episode in memory.

    Attributes:
        metadata: what the recording says of itself.
        bag, bag_sha256: where it came from, and the hash of its content.
        start_ns, duration_s: receive time of the first message, and from there to the last.
        reasons: why it is not fit for training, beside those in the metadata.
        tables: rows by the path of their table (layout.tables); those that are absent have none. `alines` has
            one row per row of the force stream.
    """

    metadata: EpisodeMetadata
    bag: str
    bag_sha256: str
    start_ns: int
    duration_s: float
    reasons: tuple[str, ...]
    tables: dict[str, Rows]

    def check_contract(self, contract: Contract, store: str) -> None:
        """Raises ValueError when it was recorded with another contract than that of the store."""
        wrong = differences(parse_contract(self.metadata.contract, PLACE), contract)
        if wrong:
            more = f" and {len(wrong) - DIFFERENCES_NAMED} more" if len(wrong) > DIFFERENCES_NAMED else ""
            raise ValueError(
                f"bag {self.bag} was recorded with another contract than store {store}: "
                f"{'; '.join(wrong[:DIFFERENCES_NAMED])}{more}; put it into a store of its own"
            )


def save_episode(data: EpisodeData, folder: Path) -> None:
    """Write an episode into a new folder."""
    folder.mkdir(parents=True)
    shape: dict[str, list[str]] = {}
    for number, (path, rows) in enumerate(data.tables.items()):
        arrays: dict[str, Any] = {f"c.{name}": values for name, values in rows.columns.items()}
        if rows.sizes is not None and rows.blobs is not None:
            arrays |= {"sizes": rows.sizes, "blobs": rows.blobs}
        for name, values in arrays.items():
            _save(folder / f"{number}.{name}.npy", np.ascontiguousarray(values))
        shape[path] = list(arrays)
    head = {
        "metadata": data.metadata.model_dump(mode="json"),
        "bag": data.bag,
        "bag_sha256": data.bag_sha256,
        "start_ns": data.start_ns,
        "duration_s": data.duration_s,
        "reasons": list(data.reasons),
        "tables": shape,
    }
    (folder / HEAD).write_text(json.dumps(head), encoding="utf-8")


def _save(path: Path, values: NDArray[Any]) -> None:
    # Not np.save: on a full disk its OSError does not say so.
    with path.open("wb") as stream:
        header = np.lib.format.header_data_from_array_1_0(values)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(values.reshape(-1).view(np.uint8).data)


def load_episode(folder: Path) -> EpisodeData:
    """What `save_episode` wrote; arrays are mapped, not read."""
    head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    tables = {}
    for number, (path, names) in enumerate(head["tables"].items()):
        arrays = {name: _mapped(folder / f"{number}.{name}.npy") for name in names}
        columns = {name.removeprefix("c."): array for name, array in arrays.items() if name.startswith("c.")}
        tables[path] = Rows(columns, arrays.get("sizes"), arrays.get("blobs"))
    return EpisodeData(
        metadata=EpisodeMetadata.model_validate(head["metadata"]),
        bag=head["bag"],
        bag_sha256=head["bag_sha256"],
        start_ns=head["start_ns"],
        duration_s=head["duration_s"],
        reasons=tuple(head["reasons"]),
        tables=tables,
    )


def _mapped(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)
