"""The store: all episodes of a data set in one folder of Zarr v3 arrays and JSON indexes (see layout).

store = Store.open("data/store")
for episode in store.episodes("train"):
    force = store.stream("force", episode)      # .stamps, .receive, .values
    front = store.images("front", episode)      # .stamps, .receive, .blob(i) -> JPEG bytes
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import zarr
from insertion_vla_core.contract import Contract, contract_hash, parse_contract
from insertion_vla_core.episode_metadata import EpisodeMetadata
from numpy.typing import NDArray

from insertion_vla_training.stores import layout
from insertion_vla_training.stores.arrays import TableArrays, make_tables
from insertion_vla_training.stores.episode_data import EpisodeData
from insertion_vla_training.stores.episode_index import (
    EPISODES_FILE,
    SPLIT_FILE,
    Episode,
    Split,
    read_episodes,
    read_json,
    write_episodes,
    write_json,
)
from insertion_vla_training.stores.stored_rows import Blobs, StreamRows

FORMAT, VERSION = "insertion_vla_store", 1
METADATA_FOLDER, LOCK_FILE = "metadata", ".lock"


class Store:
    """An open store; use it as a context when writing. Any number of readers and one writer.

    Attributes:
        path: its folder.
        contract, contract_text, contract_hash: what its episodes were recorded with.
        aline_type: "f16" or "f32".
        split: how episodes are split.
    """

    def __init__(self, path: Path, writable: bool) -> None:
        self.path = path
        attributes = _attributes(path)
        self.contract_text: str = attributes["contract"]
        self.contract: Contract = parse_contract(self.contract_text, str(path))
        self.contract_hash = contract_hash(self.contract)
        self.aline_type: str = attributes["alines"]
        self.split = Split.model_validate(read_json(path / SPLIT_FILE))
        self._lock = _locked(path) if writable else None
        root = zarr.open_group(str(path), mode="r+" if writable else "r", zarr_format=3)
        self._tables = {
            name: TableArrays(root, name, table)
            for name, table in layout.tables(self.contract, self.aline_type).items()
        }
        self._set(read_episodes(path))
        if writable:
            self._recover()

    @classmethod
    def create(cls, path: str | Path, contract_text: str, alines: str = "f16", split: Split | None = None) -> Store:
        """A new, empty store, open for writing.

        Raises:
            ValueError: the folder holds something already, or the contract is wrong.
        """
        path = Path(path)
        contract = parse_contract(contract_text, "the contract of the new store")
        if path.exists() and any(path.iterdir()):
            raise ValueError(f"expected no files in {path}, there are some; name another folder for the store")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made beside it and renamed: a store is there as a whole or not at all.
        making = path.with_name(f".{path.name}.new-{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        attributes = {
            "format": FORMAT,
            "version": VERSION,
            "contract": contract_text,
            "contract_hash": contract_hash(contract),
            "alines": alines,
            "created_by": f"insertion_vla_training, zarr {zarr.__version__}",
        }
        try:
            make_tables(making, layout.tables(contract, alines), attributes)
            (making / METADATA_FOLDER).mkdir()
            write_json(making / SPLIT_FILE, (split or Split()).model_dump())
            write_episodes(making, ())
            making.replace(path)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return cls(path, writable=True)

    @classmethod
    def open(cls, path: str | Path, writable: bool = False) -> Store:
        """A store that exists.

        Raises:
            ValueError: it is no store, of another version, damaged, or (writable) another process writes to it.
        """
        return cls(Path(path), writable)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets others write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def episodes(self, split: str | None = None) -> list[Episode]:
        """All episodes, or those of one split ("train", "val"), in the order in which they were added."""
        return [episode for episode in self._episodes if split is None or episode.split == split]

    def episode(self, name: str) -> Episode:
        """The episode of that name; raises KeyError."""
        for episode in self._episodes:
            if episode.name == name:
                return episode
        raise KeyError(f"expected an episode of {self.path}, got '{name}'")

    def metadata(self, episode: Episode) -> EpisodeMetadata:
        """All that the recording said of itself; its contract is the store's."""
        values = read_json(self.path / METADATA_FOLDER / f"{episode.index:06d}.json")
        return EpisodeMetadata.model_validate({**values, "contract": self.contract_text})

    def rows(self, table: str, episode: Episode) -> tuple[int, int]:
        """Where an episode's rows of a table begin and end in its arrays."""
        start = self._starts[episode.index][table]
        return start, start + episode.counts[table]

    def stream(self, name: str, episode: Episode) -> StreamRows:
        """One stream of numbers of the contract."""
        return self._numbers(layout.stream_path(name), episode)

    def payloads(self, name: str, episode: Episode) -> Blobs:
        """One payload stream; `feature_blob` decodes its blobs."""
        return Blobs(self._tables[layout.stream_path(name)], *self.rows(layout.stream_path(name), episode))

    def images(self, view: str, episode: Episode) -> Blobs:
        """JPEG images of one camera view."""
        return Blobs(self._tables[layout.image_path(view)], *self.rows(layout.image_path(view), episode))

    def alines(self, episode: Episode, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """A-lines (n, 1025) of the episode's force rows [first, last); NaN where there was none."""
        start, stop = self.rows(layout.ALINES, episode)
        last = stop - start if last is None else min(last, stop - start)
        return self._tables[layout.ALINES].read("values", start + first, start + max(first, last))

    def chunks(self, episode: Episode) -> dict[str, NDArray[Any]]:
        """Recorded action chunks by column: stamps, receive, data (n, 8, 7), anchor (n, 7), sequence, ..."""
        table = self._tables[layout.CHUNKS]
        return {name: table.read(name, *self.rows(layout.CHUNKS, episode)) for name in table.table.columns}

    def chunk_texts(self, episode: Episode) -> Blobs:
        """JSON texts that go with the chunks: session, goal, policy_id, status."""
        return Blobs(self._tables[layout.CHUNKS], *self.rows(layout.CHUNKS, episode))

    def commands(self, episode: Episode) -> StreamRows:
        """What the gate let through (columns: layout.COMMAND_NAMES); no rows if it was not recorded."""
        return self._numbers(layout.COMMANDS, episode)

    def task(self, episode: Episode) -> StreamRows:
        """Phase and permission (columns: layout.TASK_NAMES); no rows if it was not recorded."""
        return self._numbers(layout.TASK, episode)

    def _numbers(self, path: str, episode: Episode) -> StreamRows:
        table, (start, stop) = self._tables[path], self.rows(path, episode)
        return StreamRows(*(table.read(name, start, stop) for name in ("stamps", "receive", "values")))

    def append_episode(self, data: EpisodeData, weight: float = 1.0) -> Episode:
        """Add an episode. All of it is there afterwards; after a crash or an error in between nothing of it is.

        Raises:
            ValueError: an episode of its name or content is there, or it was recorded with another contract.
            OSError: the disk is full.
        """
        if self._lock is None:
            raise ValueError(f"expected {self.path} to be open for writing")
        self.check_new(data)
        index, at = len(self._episodes), self._starts[-1]
        for path, table in self._tables.items():
            table.append(data.tables.get(path) or layout.empty_rows(table.table), at[path], index)
        metadata = data.metadata.model_dump(mode="json", exclude={"contract"})
        write_json(self.path / METADATA_FOLDER / f"{index:06d}.json", metadata)
        episode = Episode(
            name=data.metadata.name,
            index=index,
            bag=data.bag,
            bag_sha256=data.bag_sha256,
            start_ns=data.start_ns,
            duration_s=data.duration_s,
            instruction=data.metadata.instruction,
            outcome=data.metadata.outcome,
            notes=data.metadata.notes,
            seed=data.metadata.seed,
            source=data.metadata.source,
            split=self.split.of(data.metadata.name),
            bad=data.metadata.bad or bool(data.reasons),
            reasons=(*data.metadata.reasons, *data.reasons),
            counts={path: len(data.tables[path]) if path in data.tables else 0 for path in self._tables},
            weight=weight,
        )
        write_episodes(self.path, (*self._episodes, episode))
        self._set((*self._episodes, episode))
        return episode

    def check_new(self, data: EpisodeData) -> None:
        """Raises ValueError where an episode cannot be added."""
        refuse_known(self._episodes, data.metadata.name, data.bag, data.bag_sha256)
        data.check_contract(self.contract, str(self.path))

    def _set(self, episodes: tuple[Episode, ...]) -> None:
        self._episodes = episodes
        self._starts: list[dict[str, int]] = [dict.fromkeys(self._tables, 0)]
        for episode in episodes:
            last = self._starts[-1]
            self._starts.append({path: last[path] + episode.counts[path] for path in self._tables})

    def _recover(self) -> None:
        """Removes what a killed writer left beyond the committed episodes."""
        for leftover in self.path.rglob("*.partial"):
            leftover.unlink()
        for path, table in self._tables.items():
            table.cut(self._starts[-1][path], len(self._episodes))


def refuse_known(episodes: tuple[Episode, ...] | list[Episode], name: str, bag: str, sha256: str) -> None:
    """Raises ValueError if an episode of that name or content is there."""
    for episode in episodes:
        if episode.bag_sha256 == sha256:
            raise ValueError(
                f"bag {bag} is a duplicate of episode '{episode.name}' (from {episode.bag}): it holds the "
                "same bytes and was not added; remove one of the two bags"
            )
        if episode.name == name:
            raise ValueError(
                f"bag {bag}: there is another episode '{name}' (from {episode.bag}) of other content; "
                "record or import it again under another name"
            )


def is_store(path: Path) -> bool:
    """Whether there is a store."""
    return (path / EPISODES_FILE).is_file()


def _attributes(path: Path) -> dict[str, Any]:
    if not is_store(path):
        raise ValueError(f"expected a store in {path}, there is none; make one with: preprocess")
    attributes = read_json(path / "zarr.json").get("attributes", {})
    if attributes.get("format") != FORMAT or attributes.get("version") != VERSION:
        raise ValueError(
            f"expected a store of format {FORMAT} version {VERSION} in {path}, got "
            f"{attributes.get('format')} version {attributes.get('version')}; make it again with: preprocess"
        )
    return dict(attributes)


def _locked(path: Path) -> int:
    lock = os.open(path / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ValueError(f"another process writes to the store {path}; wait for it to end, or stop it") from error
    return lock
