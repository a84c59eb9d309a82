"""A store as a LeRobot data set of version 3.0, at the control rate of its contract.

`observation.state` holds the newest row of every required stream, `observation.<stream>` that of an optional one (NaN
where it is missing), `observation.images.<view>` the newest image, `action` the first row of the recorded chunk: the
tool pose commanded one period later, against the measured one. A LeRobot episode is a run of ticks without a gap.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from insertion_vla_training.exporters import lerobot_layout as layout
from insertion_vla_training.exporters.control_grid import Run
from insertion_vla_training.exporters.lerobot_plan import Plan
from insertion_vla_training.exporters.lerobot_stats import ImageStats, number_stats, sample
from insertion_vla_training.exporters.lerobot_video import ViewVideo
from insertion_vla_training.exporters.pictures import decoded
from insertion_vla_training.importers.safe_files import jpeg_size
from insertion_vla_training.stores.episode_index import TRAIN
from insertion_vla_training.stores.store import Store

MB = 1 << 20


class LeRobotWriter:
    """Writes a plan into an empty folder, episode by episode; `finish` writes what describes them.

    Attributes:
        written: the runs that were added.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._schema = layout.data_schema(plan.features)
        self._file = -1
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._stream: Any = None
        self._videos: dict[str, ViewVideo] = {}
        self._episodes: list[dict[str, Any]] = []
        self._numbers: dict[str, list[NDArray[Any]]] = {}
        self._images: dict[str, ImageStats] = {}
        self._total = 0
        self.written: list[Run] = []
        for view in plan.views:
            feature = plan.features[layout.IMAGES + view.name]
            if feature["dtype"] == "video":
                height, width, _ = feature["shape"]
                self._videos[view.name] = ViewVideo(folder, layout.IMAGES + view.name, plan.fps, width, height)

    def add(self, run: Run) -> None:
        """The next run as an episode.

        Raises:
            ValueError: one of its images is damaged or of another size; nothing of the run was written.
        """
        pictures = {view.name: self._jpegs(run, view.name) for view in self._plan.views}
        looked_at = {view: self._looked_at(run, view, jpegs) for view, jpegs in pictures.items()}
        if self._writer is None or self._bytes > layout.DATA_FILE_MB * MB:
            self._next_file()
        numbers = self._columns(run)
        stats = {name: number_stats(values) for name, values in numbers.items()}
        columns: dict[str, Any] = {name: _arrow(values) for name, values in numbers.items()}
        episode: dict[str, Any] = {}
        for view in self._plan.views:
            key = layout.IMAGES + view.name
            jpegs, found = pictures[view.name], looked_at[view.name]
            self._images.setdefault(key, ImageStats()).merge(found)
            stats[key] = found.stats()
            video = self._videos.get(view.name)
            if video is None:
                cells = [{"bytes": jpeg, "path": f"frame-{i:06d}.jpg"} for i, jpeg in enumerate(jpegs)]
                columns[key] = pa.array(cells, self._schema.field(key).type)
                self._bytes += sum(map(len, jpegs))
            else:
                episode |= video.add_episode(jpegs)
        assert self._writer is not None
        table = pa.table([columns[name] for name in self._schema.names], schema=self._schema)
        self._writer.write_table(table, row_group_size=len(run))
        for name, values in numbers.items():
            self._numbers.setdefault(name, []).append(values)
        self._describe(run, episode, stats)
        self._total += len(run)
        self.written.append(run)

    def _columns(self, run: Run) -> dict[str, NDArray[Any]]:
        plan, count = self._plan, len(run)
        return {
            layout.STATE: np.concatenate([run.values[s.name] for s in plan.state], axis=1).astype(np.float32),
            **{f"observation.{s.name}": run.values[s.name].astype(np.float32) for s in plan.optional},
            layout.ACTION: run.actions,
            "timestamp": (np.arange(count) / plan.fps).astype(np.float32),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, len(self._episodes)),
            "index": self._total + np.arange(count),
            "task_index": np.full(count, plan.tasks.index(run.episode.instruction)),
        }

    def _jpegs(self, run: Run, view: str) -> list[bytes]:
        blobs = self._plan.store.images(view, run.episode)
        height, width, _ = self._plan.features[layout.IMAGES + view]["shape"]
        jpegs = [blobs.blob(int(index)) for index in run.images[view]]
        for size in {jpeg_size(jpeg) for jpeg in set(jpegs)}:
            if size != (width, height):
                raise ValueError(
                    f"expected images of {width} x {height} in view {view}, got {size[0]} x {size[1]}; export such "
                    "episodes apart with --episodes"
                )
        return jpegs

    def _looked_at(self, run: Run, view: str, jpegs: list[bytes]) -> ImageStats:
        """Statistics of some of a run's images; all of those that a video will show are decoded once before it."""
        found = ImageStats()
        try:
            for index in sample(len(jpegs)):
                found.add(jpegs[index])
            for jpeg in set(jpegs) if view in self._videos else ():
                decoded(jpeg)
        except ValueError as error:
            raise ValueError(f"view {view}: {error}; record the episode again") from error
        return found

    def _describe(self, run: Run, episode: dict[str, Any], stats: dict[str, Any]) -> None:
        described = {
            "episode_index": len(self._episodes),
            "tasks": [run.episode.instruction],
            "length": len(run),
            "data/chunk_index": self._file // layout.CHUNK_FILES,
            "data/file_index": self._file % layout.CHUNK_FILES,
            "dataset_from_index": self._total,
            "dataset_to_index": self._total + len(run),
            **episode,
        }
        described |= {f"stats/{key}/{name}": value for key, found in stats.items() for name, value in found.items()}
        described |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._episodes.append(described)

    def _next_file(self) -> None:
        self._close_data()
        self._file += 1
        self._bytes = 0
        chunk, file = divmod(self._file, layout.CHUNK_FILES)
        path = self._folder / layout.DATA_PATH.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("wb")
        self._writer = pq.ParquetWriter(self._stream, self._schema, compression="snappy", use_dictionary=True)

    def _close_data(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._stream.close()

    def abandon(self) -> None:
        """Close the files as they are, after an error."""
        for close in (self._close_data, *(video.close for video in self._videos.values())):
            with suppress(OSError, ValueError, av.FFmpegError):  # a full disk says no once more
                close()

    def finish(self) -> None:
        """Everything below meta/; raises ValueError if there is no episode."""
        if not self.written:
            raise ValueError("expected episodes to export, every one was left out; see above")
        self._close_data()
        for video in self._videos.values():
            video.close()
        plan = self._plan
        stats = {name: number_stats(np.concatenate(parts)) for name, parts in self._numbers.items()}
        stats |= {name: found.stats() for name, found in self._images.items()}
        train, count = sum(run.episode.split == TRAIN for run in self.written), len(self.written)
        splits = {"train": f"0:{train}", "val": f"{train}:{count}"}
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": None,
            "total_episodes": count,
            "total_frames": self._total,
            "total_tasks": len(plan.tasks),
            "chunks_size": layout.CHUNK_FILES,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "fps": plan.fps,
            "splits": {name: span for name, span in splits.items() if len(set(span.split(":"))) == 2},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self._videos else None,
            "features": plan.features,
        }
        (self._folder / layout.EPISODES_PATH).parent.mkdir(parents=True)
        self._table(layout.EPISODES_PATH, pa.Table.from_pylist(self._episodes))
        self._table(layout.TASKS_PATH, layout.tasks_table(plan.tasks))
        self._json(layout.INFO_PATH, info)
        self._json(layout.STATS_PATH, stats)
        self._json(layout.NOTES_PATH, notes(plan, self.written))

    def _table(self, name: str, table: pa.Table) -> None:
        with (self._folder / name).open("wb") as stream:
            pq.write_table(table, stream)

    def _json(self, name: str, value: Any) -> None:
        (self._folder / name).write_text(json.dumps(value, indent=1), encoding="utf-8")


def notes(plan: Plan, written: Sequence[Run]) -> dict[str, Any]:
    """What LeRobot has no place for: the contract, which columns are which stream, and the times of the ticks."""
    return {
        "format": layout.NOTES_FORMAT,
        "version": layout.NOTES_VERSION,
        "contract": plan.store.contract_text,
        "state": [stream.name for stream in plan.state],
        "optional": [stream.name for stream in plan.optional],
        "views": [view.name for view in plan.views],
        "episodes": [
            {
                "name": run.episode.name,
                "start_ns": int(run.ticks_ns[0]),
                "outcome": run.episode.outcome,
                "split": run.episode.split,
                "image_stamps_ns": {view.name: _image_stamps(plan.store, run, view.name) for view in plan.views},
            }
            for run in written
        ],
    }


def _image_stamps(store: Store, run: Run, view: str) -> list[int]:
    """When the image of each row was taken: cameras are slower than rows, so images repeat, and this tells."""
    stamps = store.images(view, run.episode).stamps[run.images[view]]
    return [int(stamp) for stamp in stamps]


def _arrow(values: NDArray[Any]) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    if values.shape[1] == 1:
        return pa.array(values[:, 0])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
