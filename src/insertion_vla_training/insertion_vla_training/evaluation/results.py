"""episodes.jsonl: the settings in the first line, then an episode a line, each written as soon as it was played."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from insertion_vla_training.evaluation.episode import Result

EPISODES, FORMAT = "episodes.jsonl", "insertion_vla evaluation 1"


class ResultsFile:
    """The results of an evaluation, those of earlier runs included; use it as a context.

    Attributes:
        results: by seed.
        settings: of all of them.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open the file in a folder, or start it.

        A last line without an end, as a kill leaves it, is cut off: that episode is played again.

        Raises:
            ValueError: the file is of other settings, or not of an evaluation.
            OSError: it cannot be written.
        """
        self.path, self.settings = folder / EPISODES, dict(settings)
        folder.mkdir(parents=True, exist_ok=True)
        self.results: dict[int, Result] = {}
        size = 0
        if self.path.exists():
            data = self.path.read_bytes()
            size = data.rfind(b"\n") + 1
            self._take(data[:size].decode("utf-8").splitlines())
        self._stream = self.path.open("r+b" if self.path.exists() else "wb")
        self._stream.truncate(size)
        self._stream.seek(size)
        if size == 0:
            self._write({"format": FORMAT, "settings": self.settings})

    def add(self, result: Result) -> None:
        """Keep a result; it is on the disk when this returns."""
        self._write(result.as_dict())
        self.results[result.seed] = result

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def _write(self, value: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(value, allow_nan=False).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _take(self, lines: list[str]) -> None:
        if not lines:
            return
        there, results = read_lines(lines, self.path)
        differ = [name for name in {**there, **self.settings} if there.get(name) != self.settings.get(name)]
        if differ:
            said = ", ".join(f"{name} {there.get(name)!r} instead of {self.settings.get(name)!r}" for name in differ)
            raise ValueError(
                f"expected results of the same settings in {self.path}, got {said}: give those settings, or "
                "another --out"
            )
        self.results = {result.seed: result for result in results}


def read_results(folder: Path) -> tuple[dict[str, Any], list[Result]]:
    """Settings and results of an evaluation's folder, by seed.

    Raises:
        ValueError: there are none.
    """
    path = folder / EPISODES
    if not path.is_file():
        raise ValueError(
            f"expected the results of an evaluation in {path}, there are none: run evaluate --out {folder}"
        )
    text = path.read_text(encoding="utf-8")
    settings, results = read_lines(text[: text.rfind("\n") + 1].splitlines(), path)
    return settings, sorted(results, key=lambda result: result.seed)


def read_lines(lines: list[str], path: Path) -> tuple[dict[str, Any], list[Result]]:
    """Settings and results from the lines of the file at `path`; errors as `read_results`."""
    try:
        first, *rest = (json.loads(line) for line in lines)
        if first["format"] != FORMAT:
            raise ValueError(first["format"])
        settings = dict(first["settings"])
        results = [
            Result(**{**row, **{name: tuple(row[name]) for name in ("inference_ms", "features_ms")}}) for row in rest
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected lines of '{FORMAT}' in {path}, it cannot be read: name another --out, or delete the file"
        ) from error
    return settings, results
