"""Bytes of a process's output, as lines."""

from __future__ import annotations

import codecs
from collections.abc import Callable


class LineOutput:
    """Calls `log(line)` for each whole line that has come in; keeps all the text if asked to."""

    def __init__(self, log: Callable[[str], None], *, keep: bool) -> None:
        self._log = log
        self._keep = keep
        self._kept: list[str] = []
        self._rest = ""
        # A character may be split between two reads.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def text(self) -> str:
        return "".join(self._kept)

    def feed(self, data: bytes) -> None:
        self._take(self._decoder.decode(data))

    def flush(self) -> None:
        """The process has ended: what is left is the last line."""
        self._take(self._decoder.decode(b"", final=True))
        self._decoder.reset()
        if self._rest:
            self._log(self._rest)
            self._rest = ""

    def _take(self, text: str) -> None:
        if self._keep:
            self._kept.append(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line.removesuffix("\r"))
