"""Names, places and types of a LeRobot data set of version 3.0, and this workspace's own notes in it.

    data/chunk-000/file-000.parquet               a row per frame; one row group per episode
    videos/<key>/chunk-000/file-000.mp4           with --videos; else JPEG bytes in the rows
    meta/info.json  meta/stats.json  meta/tasks.parquet  meta/episodes/chunk-000/file-000.parquet
    meta/insertion_vla.json                       contract and times, so that `import` can take it back

Format: github.com/huggingface/lerobot, src/lerobot/datasets (codebase version v3.0).
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

VERSION = "v3.0"
CHUNK_FILES = 1000
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
INFO_PATH, STATS_PATH, TASKS_PATH = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
NOTES_PATH, NOTES_FORMAT, NOTES_VERSION = "meta/insertion_vla.json", "insertion_vla_lerobot", 1
STATE, ACTION, IMAGES = "observation.state", "action", "observation.images."
INDEX_FEATURES = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def numbers_feature(names: list[str]) -> dict[str, Any]:
    """A vector of named numbers."""
    return {"dtype": "float32", "shape": [len(names)], "names": names}


def image_feature(width: int, height: int, fps: int, video: bool) -> dict[str, Any]:
    """One camera view."""
    feature: dict[str, Any] = {
        "dtype": "video" if video else "image",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
    }
    if video:
        feature["info"] = {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": fps,
            "video.channels": 3,
            "has_audio": False,
        }
    return feature


def index_features() -> dict[str, Any]:
    """The columns that every data set has."""
    return {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in INDEX_FEATURES.items()}


def data_schema(features: dict[str, Any]) -> pa.Schema:
    """The columns of the data files, with the note by which the `datasets` library knows images."""
    fields: list[pa.Field] = []
    known: dict[str, Any] = {}
    for name, feature in features.items():
        dtype = feature["dtype"]
        if dtype == "video":
            continue
        if dtype == "image":
            fields.append(pa.field(name, pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
            known[name] = {"_type": "Image"}
            continue
        value, kind = {"dtype": dtype, "_type": "Value"}, pa.type_for_alias(dtype)
        size = feature["shape"][0]
        if size == 1:
            fields.append(pa.field(name, kind))
            known[name] = value
        else:
            fields.append(pa.field(name, pa.list_(kind, size)))
            known[name] = {"feature": value, "length": size, "_type": "Sequence"}
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": known}})})


def tasks_table(tasks: list[str]) -> pa.Table:
    """Number by task; readers take it as a pandas frame whose index is the task."""
    columns = [("task_index", "int64", "int64"), ("task", "unicode", "object")]
    note = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in columns
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    return table.replace_schema_metadata({"pandas": json.dumps(note)})
