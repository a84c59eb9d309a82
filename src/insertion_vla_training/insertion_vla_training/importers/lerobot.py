"""LeRobot data sets of version 3.0 that this workspace exported, taken back as bags.

Others are refused: only meta/insertion_vla.json says which column is which stream, in which unit, and when images were
taken. Numbers have the time of their tick; the action is a chunk of one row. Frames of videos are decoded and encoded
as JPEG; images in the rows go on unchanged.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from insertion_vla_core.contract import Contract, Stream, parse_contract
from numpy.typing import NDArray

from insertion_vla_training.exporters import lerobot_layout as layout
from insertion_vla_training.importers import contracts, messages
from insertion_vla_training.importers.episode import Entry, Episode, Found, Imported, Options
from insertion_vla_training.importers.safe_files import jpeg_size

NS = 1_000_000_000
JPEG_QUALITY = 95
DERIVED_FIELD = "alines"  # a distance computed of A-lines, which the data set does not have


def matches(path: Path) -> bool:
    """Whether it is a LeRobot data set."""
    return path.is_dir() and (path / layout.INFO_PATH).is_file()


def episodes(paths: Sequence[Path], options: Options) -> Found:
    """The episodes of data sets, named as they were before the export."""
    found: list[Episode] = []
    problems: list[str] = []
    for path in paths:
        try:
            data = _DataSet(path)
            found += [
                Episode(data.name(number), f"{path} [episode {number}]", partial(data.sha256, number), read)
                for number in range(len(data.rows))
                for read in (partial(data.read, number, options),)
            ]
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            text = f"a key is missing or wrong: {error}; copy it again" if isinstance(error, KeyError) else str(error)
            problems.append(f"{path}: {text}")
    return found, problems


class _DataSet:
    """The heads of a data set; episodes are read one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._info = _json(path / layout.INFO_PATH)
        version = self._info.get("codebase_version")
        if version != layout.VERSION:
            raise ValueError(f"expected a data set of version {layout.VERSION}, got {version}; convert it with lerobot")
        if not (path / layout.NOTES_PATH).is_file():
            raise ValueError(
                f"expected {layout.NOTES_PATH}, there is none: only a data set that `export` wrote says which column "
                "is which stream in which unit"
            )
        self._notes = _json(path / layout.NOTES_PATH)
        if (self._notes.get("format"), self._notes.get("version")) != (layout.NOTES_FORMAT, layout.NOTES_VERSION):
            raise ValueError(
                f"expected {layout.NOTES_FORMAT} of version {layout.NOTES_VERSION}, got {self._notes.get('format')} of "
                f"version {self._notes.get('version')}; update this workspace, or export again"
            )
        self._fps = int(self._info["fps"])
        source = parse_contract(self._notes["contract"], f"{path / layout.NOTES_PATH}")
        self._state = [source.stream(name) for name in self._notes["state"]]
        self._optional = [source.stream(name) for name in self._notes["optional"]]
        self._contract = self._text(source)
        self._source = source
        width = sum(stream.width for stream in self._state)
        if self._info["features"][layout.STATE]["shape"] != [width]:
            raise ValueError(
                f"expected {width} numbers in {layout.STATE}, got {self._info['features'][layout.STATE]['shape']}; the "
                "data set was changed: export it again"
            )
        self.rows: list[dict[str, Any]] = _rows(path / layout.EPISODES_PATH)
        if len(self.rows) != len(self._notes["episodes"]):
            raise ValueError(
                f"expected {len(self._notes['episodes'])} episodes, got {len(self.rows)}; the data set was changed: "
                "export it again"
            )

    def name(self, number: int) -> str:
        """As before the export; a later run of the same episode has its number behind."""
        names = [str(episode["name"]) for episode in self._notes["episodes"]]
        if Path(names[number]).name != names[number] or names[number].startswith("."):
            raise ValueError(f"expected the name of an episode, got '{names[number]}'; export again")
        before = names[:number].count(names[number])
        return names[number] if before == 0 else f"{names[number]}_run{before + 1}"

    def sha256(self, number: int) -> str:
        """Hash of an episode's rows and of the sizes of its videos."""
        videos = sorted(self._path.glob("videos/*/*/*.mp4"))
        digest = hashlib.sha256(repr([file.stat().st_size for file in videos]).encode())
        table = self._table(number)
        for column in table.itercolumns():
            for value in column.to_pylist():
                digest.update(repr(value).encode())
        return digest.hexdigest()

    def read(self, number: int, options: Options) -> Imported:
        """One episode."""
        row, noted = self.rows[number], self._notes["episodes"][number]
        task = row["tasks"][0] if row["tasks"] else ""
        result = Imported(self._contract, task or options.instruction, str(noted["outcome"]))
        table = self._table(number)
        ticks = int(noted["start_ns"]) + np.arange(table.num_rows, dtype=np.int64) * round(NS / self._fps)
        values = self._values(table)
        result.entries += _number_entries([*self._state, *self._optional], ticks.tolist(), values)
        result.entries += self._chunks(ticks.tolist(), values, _matrix(table, layout.ACTION), number)
        for view in self._notes["views"]:
            jpegs = self._jpegs(table, row, layout.IMAGES + view)
            stamps = [int(stamp) for stamp in noted["image_stamps_ns"][view]]
            topic = f"{view}/image_raw/compressed"
            for index, (tick, stamp, jpeg) in enumerate(zip(ticks.tolist(), stamps, jpegs, strict=True)):
                # An image that several rows show was taken once, and had arrived by the first of them.
                if index == 0 or stamp != stamps[index - 1]:
                    result.entries.append(Entry(tick, topic, partial(messages.image, stamp, jpeg)))
        result.notes.append("Numbers have the times of their ticks, not those of their measurement.")
        result.parameters |= {"data_set": self._path.name, "rate_hz": float(self._fps)}
        return result

    def _table(self, number: int) -> pa.Table:
        row = self.rows[number]
        place = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        path = self._path / layout.DATA_PATH.format(**place)
        try:
            table = pq.read_table(path, filters=[("episode_index", "=", number)], partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{path} is cut off or no parquet file ({error}); copy it again") from error
        if table.num_rows != row["length"]:
            raise ValueError(f"{path}: expected {row['length']} rows of episode {number}, got {table.num_rows}")
        return table

    def _values(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        state = _matrix(table, layout.STATE)
        edges = np.cumsum([stream.width for stream in self._state])[:-1]
        parts = np.split(state, edges, axis=1)
        values = {stream.name: part for stream, part in zip(self._state, parts, strict=True)}
        return values | {stream.name: _matrix(table, f"observation.{stream.name}") for stream in self._optional}

    def _chunks(
        self, ticks: list[int], values: dict[str, NDArray[np.float64]], actions: NDArray[np.float64], number: int
    ) -> list[Entry]:
        poses = next((values[stream.name] for stream in self._state if stream.type == messages.POSE), None)
        anchors = np.full((len(ticks), 7), np.nan) if poses is None else poses
        return [
            Entry(
                tick,
                self._source.action.topic,
                partial(messages.chunk, tick, row, anchors[row], actions[row : row + 1], 1.0 / self._fps, str(number)),
            )
            for row, tick in enumerate(ticks)
        ]

    def _jpegs(self, table: pa.Table, row: dict[str, Any], key: str) -> list[bytes]:
        if self._info["features"][key]["dtype"] == "image":
            jpegs = [cell["bytes"] for cell in table.column(key).to_pylist()]
        else:
            jpegs = self._frames(row, key)
        if len(jpegs) != table.num_rows:
            raise ValueError(f"'{key}': expected {table.num_rows} images, got {len(jpegs)}; copy the data set again")
        for jpeg in jpegs:
            jpeg_size(jpeg)
        return jpegs

    def _frames(self, row: dict[str, Any], key: str) -> list[bytes]:
        name = layout.VIDEO_PATH.format(
            video_key=key, chunk_index=row[f"videos/{key}/chunk_index"], file_index=row[f"videos/{key}/file_index"]
        )
        first, last = (round(row[f"videos/{key}/{edge}_timestamp"] * self._fps) for edge in ("from", "to"))
        found = []
        try:
            with av.open(str(self._path / name)) as container:
                for number, frame in enumerate(container.decode(video=0)):
                    if number >= last:
                        break
                    if number >= first:
                        stream = io.BytesIO()
                        frame.to_image().save(stream, "JPEG", quality=JPEG_QUALITY)
                        found.append(stream.getvalue())
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"{name} is cut off or no video ({error}); copy it again") from error
        return found

    def _text(self, source: Contract) -> str:
        rate_hz = float(self._fps)
        observations = [
            contracts.stream(s.name, s.topic, s.type, s.field, s.channels, s.unit, rate_hz, optional=s.optional)
            for s in (*self._state, *self._optional)
            if s.field != DERIVED_FIELD
        ]
        images = [
            {**view.model_dump(mode="json"), "optional": True}
            for view in source.images
            if view.name in self._notes["views"]
        ]
        action = {**source.action.model_dump(mode="json"), "horizon": 1, "dt_s": 1.0 / rate_hz, "optional": True}
        return contracts.contract_text(f"{source.name}_lerobot", observations, images, action)


def _number_entries(streams: list[Stream], ticks: list[int], values: dict[str, NDArray[np.float64]]) -> list[Entry]:
    """Messages of streams; those that share a topic share the message, and a row without numbers has none."""
    entries = []
    topics: dict[str, list[Stream]] = {}
    for stream in streams:
        if stream.field != DERIVED_FIELD:
            topics.setdefault(stream.topic, []).append(stream)
    for topic, sharing in topics.items():
        for row, tick in enumerate(ticks):
            fields = {stream.field: (stream, values[stream.name][row]) for stream in sharing}
            if any(np.isfinite(numbers).all() for _, numbers in fields.values()):
                entries.append(Entry(tick, topic, partial(_encode, sharing[0].type, tick, row, fields)))
    return entries


def _encode(kind: str, tick: int, row: int, fields: dict[str, tuple[Stream, NDArray[np.float64]]]) -> bytes:
    stream, numbers = next(iter(fields.values()))
    if kind == messages.JOINTS:
        position, velocity = (fields[name][1] if name in fields else None for name in ("position", "velocity"))
        return messages.joint_state(tick, stream.channels, position, velocity)
    if kind == messages.FORCE:
        nothing = np.full(1, np.nan)
        newtons, raw = (fields[name][1] if name in fields else nothing for name in ("force", "force_raw"))
        stamps = np.array([tick], np.int64)
        return messages.force_samples(stamps, stamps, raw, newtons, None, row + 1)
    plain = {messages.POSE: messages.pose, messages.POINT: messages.point, messages.VECTOR: messages.vector}
    return plain[kind](tick, numbers)


def _matrix(table: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in table.column_names:
        raise ValueError(f"expected column '{name}', got {', '.join(table.column_names)}; export it again")
    return np.array(table.column(name).to_pylist(), np.float64).reshape(table.num_rows, -1)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, partitioning=None).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} is cut off or no parquet file ({error}); copy it again") from error
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON in {path.name}, could not read it ({error}); copy it again") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected keys and values in {path.name}, got {type(values).__name__}; copy it again")
    return values
