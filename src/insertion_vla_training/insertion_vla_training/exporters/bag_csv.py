"""Bags as CSV files for people: one per stream, with the unit behind every name; images and A-lines stay in the bag."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.contract import Contract, Stream, parse_contract

from insertion_vla_training.bags.episode import bag_hash, read_episode
from insertion_vla_training.importers.messages import POSE
from insertion_vla_training.stores import layout
from insertion_vla_training.stores.episode_data import PLACE, EpisodeData
from insertion_vla_training.stores.layout import Rows

TIME_HEAD = ("measured [s since 1970]", "received [s since 1970]")
COMMAND_UNITS = ("1", "1", "m/s", "m/s", "m/s", "rad/s", "rad/s", "rad/s", "N")
TASK_UNITS = ("1", "1", "m", "s")


def write_bag_csv(bag: Path, folder: Path) -> int:
    """Write the streams of a bag into an empty folder; gives the number of files.

    Raises:
        ValueError: the bag cannot be read.
    """
    data = read_episode(bag, bag_hash(bag), "f32")
    contract = parse_contract(data.metadata.contract, PLACE)
    count = 0
    for name, head, rows in _tables(contract, data):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(head)
            writer.writerows(rows)
        count += 1
    metadata = data.metadata.model_dump(mode="json", exclude={"contract"})
    (folder / "episode.json").write_text(json.dumps(metadata, indent=1), encoding="utf-8")
    return count


def _tables(contract: Contract, data: EpisodeData) -> Iterable[tuple[str, list[str], Iterable[list[Any]]]]:
    for stream in contract.observations:
        if not stream.payload:
            rows = data.tables[layout.stream_path(stream.name)]
            yield stream.name, _head(stream.channels, _units(stream)), _numbers(rows, "values")
    for view in contract.images:
        rows = data.tables[layout.image_path(view.name)]
        sizes = np.zeros(0) if rows.sizes is None else rows.sizes
        listed = ([*_times(rows, i), int(size)] for i, size in enumerate(sizes))
        yield f"images_{view.name}", [*TIME_HEAD, "size [bytes]"], listed
    action = contract.action
    names = [f"{channel}_{step + 1}" for step in range(action.horizon) for channel in action.channels]
    yield "action", _head(names, action.units * action.horizon), _numbers(data.tables[layout.CHUNKS], "data")
    for name, channels, units in (
        (layout.COMMANDS, layout.COMMAND_NAMES, COMMAND_UNITS),
        (layout.TASK, layout.TASK_NAMES, TASK_UNITS),
    ):
        if len(data.tables[name]):
            yield name, _head(channels, units), _numbers(data.tables[name], "values")


def _units(stream: Stream) -> Sequence[str]:
    if stream.type == POSE:
        return ("m", "m", "m", "1", "1", "1", "1")
    return (stream.unit,) * stream.width


def _head(channels: Sequence[str], units: Sequence[str]) -> list[str]:
    return [*TIME_HEAD, *(f"{channel} [{unit}]" for channel, unit in zip(channels, units, strict=True))]


def _numbers(rows: Rows, column: str) -> Iterable[list[Any]]:
    values = rows.columns[column]
    values = values.reshape(len(rows), math.prod(values.shape[1:]))
    for index, row in enumerate(values.tolist()):
        # No number, no text: an empty cell is missing in every spreadsheet.
        yield [*_times(rows, index), *("" if np.isnan(number) else number for number in row)]


def _times(rows: Rows, index: int) -> list[str]:
    """Seconds with all their nanoseconds, which a double would round."""
    return [
        f"{ns // 10**9}.{ns % 10**9:09d}" for ns in (int(rows.columns[name][index]) for name in ("stamps", "receive"))
    ]
