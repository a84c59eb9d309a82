"""Bytes that a process has written to its standard output."""

from typing import Any

from .process_io import ProcessIO


class ProcessStdout(ProcessIO):
    """Bytes that a process has written to its standard output."""

    name = "launch.events.process.ProcessStdout"

    def __init__(self, *, text: bytes, **kwargs: Any) -> None:
        super().__init__(text=text, fd=1, **kwargs)
