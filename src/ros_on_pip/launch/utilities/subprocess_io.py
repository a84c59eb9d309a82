"""Child processes in an event loop, their output through pipes or pseudo-terminals."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable
from typing import Any

# After the process itself has ended, how long its output may still be held open by a process of its own.
DRAIN_S = 1.0


class ProcessIOProtocol(asyncio.SubprocessProtocol):
    """Calls `on_start(transport)`, then `on_output(file descriptor, bytes)`; `exited` and `drained` are its end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_start: Callable[[asyncio.SubprocessTransport], None],
        on_output: Callable[[int, bytes], None],
    ) -> None:
        self.on_start = on_start
        self.on_output = on_output
        self.exited: asyncio.Future[int] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.open_outputs = {1, 2}
        self.transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.on_start(self.transport)  # type: ignore[arg-type]

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.on_output(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.open_outputs.discard(fd)
        if not self.open_outputs and not self.drained.done():
            self.drained.set_result(None)

    def process_exited(self) -> None:
        assert self.transport is not None
        if not self.exited.done():
            self.exited.set_result(self.transport.get_returncode() or 0)

    async def finished(self) -> int:
        """Return code, once the process has ended and its output has been handed on."""
        returncode = await self.exited
        await asyncio.wait([self.drained], timeout=DRAIN_S)
        return returncode


class _TerminalProtocol(asyncio.Protocol):
    """Our end of a pseudo-terminal, as one of the process's outputs."""

    def __init__(self, process: ProcessIOProtocol, fd: int) -> None:
        self.process = process
        self.fd = fd

    def data_received(self, data: bytes) -> None:
        self.process.pipe_data_received(self.fd, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.process.pipe_connection_lost(self.fd, exc)


def _open_terminal() -> tuple[int, int]:
    """(our end, the process's end), without translation of line ends."""
    ours, theirs = os.openpty()
    attributes: list[Any] = termios.tcgetattr(theirs)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    return ours, theirs


async def start_process(
    cmd: list[str],
    *,
    on_start: Callable[[asyncio.SubprocessTransport], None],
    on_output: Callable[[int, bytes], None],
    cwd: str | None,
    env: dict[str, str] | None,
    shell: bool,
    emulate_tty: bool,
) -> ProcessIOProtocol:
    """Start a process; OSError if there is no such executable or folder."""
    loop = asyncio.get_running_loop()
    protocol = ProcessIOProtocol(loop, on_start, on_output)
    terminals: list[tuple[int, int]] = []
    pipes: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    if emulate_tty:
        terminals = [_open_terminal(), _open_terminal()]
        pipes = {"stdout": terminals[0][1], "stderr": terminals[1][1]}
    try:
        if shell:
            line = " ".join(cmd)
            await loop.subprocess_shell(lambda: protocol, line, cwd=cwd, env=env, **pipes)
        else:
            await loop.subprocess_exec(lambda: protocol, *cmd, cwd=cwd, env=env, **pipes)
    except BaseException:
        for ours, _ in terminals:
            os.close(ours)
        raise
    finally:
        for _, theirs in terminals:
            os.close(theirs)
    for fd, (ours, _) in enumerate(terminals, start=1):
        end = os.fdopen(ours, "rb", 0)
        await loop.connect_read_pipe(lambda fd=fd: _TerminalProtocol(protocol, fd), end)  # type: ignore[misc]
    return protocol
