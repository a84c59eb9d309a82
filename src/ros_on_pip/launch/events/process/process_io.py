"""A process has read or written."""

from typing import Any

from .running_process_event import RunningProcessEvent


class ProcessIO(RunningProcessEvent):
    """Bytes on file descriptor 0 (stdin), 1 (stdout) or 2 (stderr) of the process."""

    name = "launch.events.process.ProcessIO"

    def __init__(self, *, text: bytes, fd: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__text = text
        self.__fd = fd

    @property
    def text(self) -> bytes:
        return self.__text

    @property
    def fd(self) -> int:
        return self.__fd

    @property
    def from_stdin(self) -> bool:
        return self.fd == 0

    @property
    def from_stdout(self) -> bool:
        return self.fd == 1

    @property
    def from_stderr(self) -> bool:
        return self.fd == 2
