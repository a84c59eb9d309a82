"""Bytes that a process has written to its standard error."""

from typing import Any

from .process_io import ProcessIO


class ProcessStderr(ProcessIO):
    """Bytes that a process has written to its standard error."""

    name = "launch.events.process.ProcessStderr"

    def __init__(self, *, text: bytes, **kwargs: Any) -> None:
        super().__init__(text=text, fd=2, **kwargs)
