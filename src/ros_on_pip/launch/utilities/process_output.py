"""Output of a process, logged line by line."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from logging import Logger

from .. import logging


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


class ProcessOutput:
    """Standard output and standard error of a process, by file descriptor.

    Args:
        name: of the process, for its loggers and log files.
        destination: see `launch.logging.get_output_loggers`.
        format_line: a line as it is to be logged.
        keep: keep all the text.
    """

    def __init__(self, name: str, destination: str | dict, format_line: Callable[[str], str], *, keep: bool) -> None:
        def log_to(logger: Logger) -> Callable[[str], None]:
            return lambda line: logger.info(format_line(line))

        stdout, stderr = logging.get_output_loggers(name, destination)
        self._streams = {1: LineOutput(log_to(stdout), keep=keep), 2: LineOutput(log_to(stderr), keep=keep)}

    def feed(self, fd: int, data: bytes) -> None:
        self._streams[fd].feed(data)

    def flush(self) -> None:
        """The process has ended."""
        for stream in self._streams.values():
            stream.flush()

    def text(self, fd: int) -> str:
        """All that has been kept."""
        return self._streams[fd].text
