"""A process of a launch, from its first start to its last end."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from logging import Logger
from typing import TYPE_CHECKING, Any

from ..events.process.process_exited import ProcessExited
from ..events.process.process_started import ProcessStarted
from ..events.process.process_stderr import ProcessStderr
from ..events.process.process_stdout import ProcessStdout
from .create_future_impl import create_future
from .subprocess_io import start_process
from .termination import Termination

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@dataclass(frozen=True)
class ProcessSettings:
    """How a process is run, with all substitutions performed."""

    shell: bool
    emulate_tty: bool
    log_cmd: bool
    timeouts_s: tuple[float, float]  # from SIGINT to SIGTERM, from SIGTERM to SIGKILL
    respawn: bool
    respawn_delay_s: float
    respawn_max_retries: int  # negative: no limit


class ProcessLife:
    """Runs the process, as often as it is to be respawned, and tells the launch by events.

    Args:
        context: of the launch, which is running.
        details: arguments of the events: action, name, cmd, cwd, env; `pid` is added while the process runs.
        settings: how to run it.
        logger: says what happens to the process.
    """

    def __init__(
        self, context: LaunchContext, details: dict[str, Any], settings: ProcessSettings, logger: Logger
    ) -> None:
        self._context = context
        self._details = details
        self._settings = settings
        self._logger = logger
        self._retries = 0
        self._transport: asyncio.SubprocessTransport | None = None
        self._termination: Termination | None = None
        # Whether to send a SIGINT, if the process is to end while it is being started.
        self._end_at_start: bool | None = None
        self._ending: asyncio.Future[None] = create_future(context.asyncio_loop)
        self.completed: asyncio.Future[None] = create_future(context.asyncio_loop)
        assert context.asyncio_loop is not None
        self._task = context.asyncio_loop.create_task(self._run())

    @property
    def return_code(self) -> int | None:
        """Of the last run, once it has ended."""
        return None if self._transport is None else self._transport.get_returncode()

    def shutdown(self, *, send_sigint: bool) -> None:
        """Ask the process to end for good, by more and more forceful signals; harmless if it has ended."""
        if self._ending.done():
            return
        if self._termination is None and not self.completed.done():
            self._end_at_start = send_sigint
            return
        self._ending.set_result(None)
        if not self.completed.done() and self.return_code is None:
            assert self._context.asyncio_loop is not None and self._termination is not None
            self._termination.begin(self._context.asyncio_loop, send_sigint=send_sigint)

    def send_signal(self, signum: signal.Signals) -> None:
        if self._termination is None:
            raise RuntimeError(f"signal '{signum.name}' for '{self._details['name']}', which has not been started")
        self._termination.send(signum)

    def kill(self) -> None:
        """End the process and its children at once."""
        if self._termination is not None:
            self._termination.kill()

    def write(self, data: bytes) -> None:
        """Bytes for the standard input of the process."""
        pipe: Any = self._transport and self._transport.get_pipe_transport(0)
        if pipe is None or pipe.is_closing():
            self._logger.warning("text for the standard input of a process that is not running is lost")
            return
        pipe.write(data)

    async def _run(self) -> None:
        error = None
        try:
            while await self._run_once():
                pass
        except Exception as exception:
            error = exception
        finally:
            if self._transport is not None:
                self._transport.close()
            if not self.completed.done():
                # The launch service tells an error and ends the launch.
                self.completed.set_result(None) if error is None else self.completed.set_exception(error)

    async def _run_once(self) -> bool:
        """Run the process; True if it is to be run again."""
        details, cmd = self._details, self._details["cmd"]
        line = " ".join(part for part in cmd if part.strip())
        if self._settings.log_cmd:
            self._logger.info(f"process details: cmd='{line}', cwd='{details['cwd']}', custom_env?=True")
        self._termination = None
        details.pop("pid", None)
        try:
            protocol = await start_process(
                cmd,
                on_start=self._on_start,
                on_output=self._on_output,
                cwd=details["cwd"],
                env=details["env"],
                shell=self._settings.shell,
                emulate_tty=self._settings.emulate_tty,
            )
        except (OSError, ValueError) as error:
            self._logger.error(f"exception occurred while executing process: {error} (cmd '{line}')")
            return False
        returncode = await protocol.finished()
        termination: Termination = self._termination  # set by _on_start
        termination.cancel()
        if returncode == 0:
            self._logger.info(f"process has finished cleanly [pid {details['pid']}]")
        else:
            self._logger.error(f"process has died [pid {details['pid']}, exit code {returncode}, cmd '{line}'].")
        self._context.emit_event_sync(ProcessExited(returncode=returncode, **details))
        if self._ending.done():
            await termination.end_children()
        return await self._respawns()

    def _on_start(self, transport: asyncio.SubprocessTransport) -> None:
        self._details["pid"] = transport.get_pid()
        self._transport = transport
        self._termination = Termination(transport, self._details["name"], self._logger, self._settings.timeouts_s)
        self._logger.info(f"process started with pid [{self._details['pid']}]")
        self._context.emit_event_sync(ProcessStarted(**self._details))
        if self._end_at_start is not None:
            self.shutdown(send_sigint=self._end_at_start)

    def _on_output(self, fd: int, data: bytes) -> None:
        kind = ProcessStdout if fd == 1 else ProcessStderr
        self._context.emit_event_sync(kind(text=data, **self._details))

    async def _respawns(self) -> bool:
        """Wait for the respawn delay, or for the end of the launch; True if the process is to run again."""
        limit_reached = 0 <= self._settings.respawn_max_retries <= self._retries
        if not self._settings.respawn or limit_reached or self._context.is_shutdown or self._ending.done():
            return False
        self._retries += 1
        # Without a delay too, the shutdown that the exit of this process may have caused is handled first.
        await asyncio.wait([self._ending], timeout=self._settings.respawn_delay_s)
        return not self._ending.done() and not self._context.is_shutdown
