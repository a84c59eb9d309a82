"""Log handlers that format each logger's records in its own way."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from typing import TextIO


class HandlerMixin:
    """A formatter per logger name beside the handler's own."""

    def setFormatterFor(self, logger: logging.Logger, formatter: logging.Formatter) -> None:  # noqa: N802
        self.formatters[logger.name] = formatter

    def unsetFormatterFor(self, logger: logging.Logger) -> None:  # noqa: N802
        self.formatters.pop(logger.name, None)

    @property
    def formatters(self) -> dict[str, logging.Formatter]:
        return self.__dict__.setdefault("_formatters", {})

    def format(self, record: logging.LogRecord) -> str:
        formatter = self.formatters.get(record.name)
        return formatter.format(record) if formatter is not None else super().format(record)  # type: ignore[misc]


class Handler(HandlerMixin, logging.Handler):
    """Base class of custom handlers."""


class FileHandler(HandlerMixin, logging.handlers.WatchedFileHandler):
    """Writes to a file, opened with the first record."""


class StreamHandler(HandlerMixin, logging.StreamHandler):
    """Writes to a stream."""


class ScreenHandler(HandlerMixin, logging.StreamHandler):
    """Writes to what is standard output at the moment, also after someone has replaced it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout
