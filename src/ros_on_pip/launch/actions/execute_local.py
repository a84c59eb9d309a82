"""Run a process of this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import logging
from ..action import Action
from ..conditions import evaluate_condition_expression
from ..descriptions.executable import Executable
from ..event import Event
from ..event_handler import BaseEventHandler, EventHandler
from ..event_handlers.on_process_exit import OnProcessExit
from ..event_handlers.on_process_io import OnProcessIO
from ..event_handlers.on_shutdown import OnShutdown
from ..events.process import ProcessExited, ProcessIO, ProcessStarted, ProcessStderr, ProcessStdout
from ..events.process.shutdown_process import ShutdownProcess
from ..events.process.signal_process import SignalProcess
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..substitutions.launch_configuration import LaunchConfiguration
from ..utilities import create_future, normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.line_output import LineOutput
from ..utilities.subprocess_io import ProcessIOProtocol, start_process
from ..utilities.termination import Termination
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .opaque_function import OpaqueFunction

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class ExecuteLocal(Action):
    """Runs a process, logs its output line by line and ends it with the launch.

    Ending is SIGINT, then SIGTERM after `sigterm_timeout`, then SIGKILL after `sigkill_timeout` more; children that
    the process leaves behind at the end of the launch get the same. The events ProcessStarted, ProcessStdout,
    ProcessStderr and ProcessExited are emitted; ShutdownProcess, SignalProcess and ProcessStdin are obeyed.

    Args:
        process_description: the command with its name, folder and environment.
        shell: run the command, joined by spaces, by a shell.
        sigterm_timeout: seconds; by default the launch configuration of that name, else 5.
        sigkill_timeout: seconds; by default the launch configuration of that name, else 5.
        emulate_tty: the process sees terminals as its outputs; the launch configuration of that name wins.
        output: 'screen', 'log', 'both', 'own_log', 'full' or a dictionary, see `launch.logging.get_output_loggers`;
            the environment variable OVERRIDE_LAUNCH_PROCESS_OUTPUT wins.
        output_format: format of a line of output; `line` and `this` (the action) may be used.
        cached_output: keep the output for `get_stdout()` and `get_stderr()`.
        log_cmd: log the command before it is run.
        on_exit: entities to visit when the process ends, or a function `(event, context)` that may return some.
        respawn: start the process again whenever it ends.
        respawn_delay: seconds to wait before that.
        respawn_max_retries: how often at most; negative for no limit.
    """

    def __init__(
        self,
        *,
        process_description: Executable,
        shell: bool = False,
        sigterm_timeout: SomeSubstitutionsType = LaunchConfiguration("sigterm_timeout", default=5),  # noqa: B008
        sigkill_timeout: SomeSubstitutionsType = LaunchConfiguration("sigkill_timeout", default=5),  # noqa: B008
        emulate_tty: bool = False,
        output: SomeSubstitutionsType | dict = "log",
        output_format: str = "[{this.process_description.final_name}] {line}",
        cached_output: bool = False,
        log_cmd: bool = False,
        on_exit: SomeEntitiesType | Callable[[ProcessExited, LaunchContext], SomeEntitiesType | None] | None = None,
        respawn: bool | SomeSubstitutionsType = False,
        respawn_delay: float | None = None,
        respawn_max_retries: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__process_description = process_description
        self.__shell = shell
        self.__sigterm_timeout = normalize_to_list_of_substitutions(_seconds(sigterm_timeout))
        self.__sigkill_timeout = normalize_to_list_of_substitutions(_seconds(sigkill_timeout))
        self.__emulate_tty = emulate_tty
        output = os.environ.get("OVERRIDE_LAUNCH_PROCESS_OUTPUT") or output
        self.__output: Any = output if isinstance(output, dict) else normalize_to_list_of_substitutions(output)
        self.__output_format = output_format
        self.__cached_output = cached_output
        self.__log_cmd = log_cmd
        self.__on_exit = on_exit
        self.__respawn: Any = normalize_typed_substitution(respawn, bool)
        self.__respawn_delay = respawn_delay
        self.__respawn_max_retries = respawn_max_retries
        self.__respawn_retries = 0

        self.__process_event_args: dict[str, Any] | None = None
        self._subprocess_protocol: ProcessIOProtocol | None = None
        self._subprocess_transport: asyncio.SubprocessTransport | None = None
        self.__completed_future: asyncio.Future[None] | None = None
        self.__shutdown_future: asyncio.Future[None] | None = None
        self.__termination: Termination | None = None
        # Whether to send a SIGINT, if the launch ends while the process is being started.
        self.__shutdown_at_start: bool | None = None
        self.__timeouts_s = (0.0, 0.0)
        self.__outputs: dict[int, LineOutput] = {}
        self.__executed = False
        self.__logger = logging.get_logger(__name__)

    @property
    def process_description(self) -> Executable:
        return self.__process_description

    @property
    def shell(self) -> bool:
        return self.__shell

    @property
    def emulate_tty(self) -> bool:
        return self.__emulate_tty

    @property
    def sigterm_timeout(self) -> list[Substitution]:
        return self.__sigterm_timeout

    @property
    def sigkill_timeout(self) -> list[Substitution]:
        return self.__sigkill_timeout

    @property
    def output(self) -> Any:
        return self.__output

    @property
    def process_details(self) -> dict[str, Any] | None:
        """name, cmd, cwd, env, action and, while or after it runs, pid of the process; None before execution."""
        return self.__process_event_args

    @property
    def return_code(self) -> int | None:
        """Of the process once it has ended; negative for the signal that ended it."""
        return None if self._subprocess_transport is None else self._subprocess_transport.get_returncode()

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        if isinstance(self.__on_exit, LaunchDescriptionEntity):
            return [self.__on_exit]
        return list(self.__on_exit) if isinstance(self.__on_exit, (list, tuple)) else []

    def get_stdout(self) -> str:
        """All that the process wrote to standard output; needs `cached_output`."""
        return self.__cached_text(1, "stdout")

    def get_stderr(self) -> str:
        """All that the process wrote to standard error; needs `cached_output`."""
        return self.__cached_text(2, "stderr")

    def __cached_text(self, fd: int, name: str) -> str:
        if not self.__cached_output:
            raise RuntimeError(f"cached output must be true to be able to get {name}: {self.describe()}")
        return self.__outputs[fd].text if self.__outputs else ""

    def get_asyncio_future(self) -> asyncio.Future | None:
        return self.__completed_future

    def prepare(self, context: LaunchContext) -> None:
        """Perform the substitutions; subclasses add to it."""
        self.__process_description.prepare(context, self)
        self.__process_event_args = {
            "action": self,
            "name": self.__process_description.final_name,
            "cmd": self.__process_description.final_cmd,
            "cwd": self.__process_description.final_cwd,
            "env": self.__process_description.final_env,
        }
        self.__respawn = perform_typed_substitution(context, self.__respawn, bool)
        self.__timeouts_s = (
            perform_typed_substitution(context, self.__sigterm_timeout, float),
            perform_typed_substitution(context, self.__sigkill_timeout, float),
        )

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        self.prepare(context)
        name = self.__process_description.final_name
        assert name is not None
        if self.__executed:
            raise RuntimeError(f"ExecuteLocal action '{name}': executed more than once: {self.describe()}")
        self.__executed = True
        if context.is_shutdown:
            return None
        self.__logger = logging.get_logger(name)
        output = self.__output
        if not isinstance(output, dict):
            output = perform_substitutions(context, output)
        stdout_logger, stderr_logger = logging.get_output_loggers(name, output)
        self.__outputs = {1: self.__line_output(stdout_logger), 2: self.__line_output(stderr_logger)}
        assert context.asyncio_loop is not None
        self.__completed_future = create_future(context.asyncio_loop)
        self.__shutdown_future = create_future(context.asyncio_loop)
        for handler in self.__event_handlers():
            context.register_event_handler(handler)
        self.__task = context.asyncio_loop.create_task(self.__execute_process(context))
        return None

    def __line_output(self, logger: Any) -> LineOutput:
        def log(line: str) -> None:
            logger.info(self.__output_format.format(line=line, this=self))

        return LineOutput(log, keep=self.__cached_output)

    def __event_handlers(self) -> list[BaseEventHandler]:
        """What the action listens to; the last one is called first."""
        handlers: list[BaseEventHandler] = [
            EventHandler(
                matcher=lambda event: isinstance(event, ShutdownProcess) and event.process_matcher(self),
                entities=OpaqueFunction(function=lambda context: self._shutdown_process(context, send_sigint=True)),
            ),
            EventHandler(
                matcher=lambda event: isinstance(event, SignalProcess) and event.process_matcher(self),
                entities=OpaqueFunction(function=self.__on_signal_process_event),
            ),
            OnShutdown(on_shutdown=self.__on_shutdown),
            OnProcessIO(
                target_action=self,
                on_stdin=self.__on_process_stdin,
                on_stdout=self.__on_process_output,
                on_stderr=self.__on_process_output,
            ),
        ]
        if self.__on_exit is not None:
            handlers.append(OnProcessExit(target_action=self, on_exit=self.__on_exit))
        handlers.append(OnProcessExit(target_action=self, on_exit=self.__flush_outputs))
        return handlers

    def __on_process_output(self, event: ProcessIO) -> None:
        self.__outputs[event.fd].feed(event.text)

    def __flush_outputs(self, event: ProcessExited, context: LaunchContext) -> None:
        for output in self.__outputs.values():
            output.flush()

    def __on_process_stdin(self, event: ProcessIO) -> None:
        pipe: Any = self._subprocess_transport and self._subprocess_transport.get_pipe_transport(0)
        if pipe is None or pipe.is_closing():
            self.__logger.warning("text for the standard input of a process that is not running is lost")
            return
        pipe.write(event.text)

    def __on_signal_process_event(self, context: LaunchContext) -> None:
        signum = context.locals.event.signal
        if self.__termination is None:
            raise RuntimeError(f"signal '{signum.name}' for a process that has not been started: {self.describe()}")
        self.__termination.send(signum)

    def __on_shutdown(self, event: Event, context: LaunchContext) -> None:
        due_to_sigint = event.due_to_sigint  # type: ignore[attr-defined]
        # Ctrl-C in a terminal goes to all its processes: those launched have had it already.
        self._shutdown_process(context, send_sigint=not due_to_sigint or context.noninteractive)

    def _shutdown_process(self, context: LaunchContext, *, send_sigint: bool) -> None:
        """Ask the process to end and arrange for more forceful signals; harmless if it has ended."""
        if self.__shutdown_future is None or self.__shutdown_future.done():
            return
        assert self.__completed_future is not None
        if self.__termination is None and not self.__completed_future.done():
            self.__shutdown_at_start = send_sigint
            return
        self.__shutdown_future.set_result(None)
        if self.__completed_future.done() or self.return_code is not None:
            return
        assert context.asyncio_loop is not None and self.__termination is not None
        self.__termination.begin(context.asyncio_loop, send_sigint=send_sigint)

    def _kill(self) -> None:
        """End the process and its children at once."""
        if self.__termination is not None:
            self.__termination.kill()

    def __on_start(self, context: LaunchContext, transport: asyncio.SubprocessTransport) -> None:
        details = self.__process_event_args
        assert details is not None
        details["pid"] = transport.get_pid()
        self._subprocess_transport = transport
        self.__termination = Termination(transport, details["name"], self.__logger, self.__timeouts_s)
        self.__logger.info(f"process started with pid [{details['pid']}]")
        context.emit_event_sync(ProcessStarted(**details))
        if self.__shutdown_at_start is not None:
            self._shutdown_process(context, send_sigint=self.__shutdown_at_start)

    def __on_output(self, context: LaunchContext, fd: int, data: bytes) -> None:
        assert self.__process_event_args is not None
        kind = ProcessStdout if fd == 1 else ProcessStderr
        context.emit_event_sync(kind(text=data, **self.__process_event_args))

    async def __execute_process(self, context: LaunchContext) -> None:
        """Run the process until it ends, as often as it is to be respawned."""
        error = None
        try:
            while await self.__run_once(context):
                pass
        except Exception as exception:
            error = exception
        finally:
            self.__cleanup(error)

    async def __run_once(self, context: LaunchContext) -> bool:
        """Run the process; True if it is to be run again."""
        details = self.__process_event_args
        assert details is not None and self.__shutdown_future is not None
        cmd = details["cmd"]
        line = " ".join(part for part in cmd if part.strip())
        if self.__log_cmd:
            self.__logger.info(f"process details: cmd='{line}', cwd='{details['cwd']}', custom_env?=True")
        self.__termination = None
        details.pop("pid", None)
        try:
            self._subprocess_protocol = await start_process(
                cmd,
                on_start=lambda transport: self.__on_start(context, transport),
                on_output=lambda fd, data: self.__on_output(context, fd, data),
                cwd=details["cwd"],
                env=details["env"],
                shell=self.__shell,
                emulate_tty=self.__wants_tty(context),
            )
        except (OSError, ValueError) as error:
            self.__logger.error(f"exception occurred while executing process: {error} (cmd '{line}')")
            return False
        returncode = await self._subprocess_protocol.finished()
        termination: Termination = self.__termination  # set by on_start
        termination.cancel()
        pid = details["pid"]
        if returncode == 0:
            self.__logger.info(f"process has finished cleanly [pid {pid}]")
        else:
            self.__logger.error(f"process has died [pid {pid}, exit code {returncode}, cmd '{line}'].")
        context.emit_event_sync(ProcessExited(returncode=returncode, **details))
        if self.__shutdown_future.done():
            await termination.end_children()
        return await self.__respawns(context)

    def __wants_tty(self, context: LaunchContext) -> bool:
        if "emulate_tty" in context.launch_configurations:
            text = str(context.launch_configurations["emulate_tty"])
            return evaluate_condition_expression(context, normalize_to_list_of_substitutions(text))
        return self.__emulate_tty

    async def __respawns(self, context: LaunchContext) -> bool:
        """Wait for the respawn delay, or for the end of the launch; True if the process is to run again."""
        assert self.__shutdown_future is not None
        limit_reached = 0 <= self.__respawn_max_retries <= self.__respawn_retries
        if not self.__respawn or limit_reached or context.is_shutdown or self.__shutdown_future.done():
            return False
        self.__respawn_retries += 1
        # Without a delay too, the shutdown that the exit of this process may have caused is handled first.
        await asyncio.wait([self.__shutdown_future], timeout=self.__respawn_delay or 0.0)
        return not self.__shutdown_future.done() and not context.is_shutdown

    def __cleanup(self, error: Exception | None) -> None:
        if self._subprocess_transport is not None:
            self._subprocess_transport.close()
        if self.__completed_future is None or self.__completed_future.done():
            return
        if error is None:
            self.__completed_future.set_result(None)
        else:
            self.__completed_future.set_exception(error)  # the launch service tells it and ends the launch


def _seconds(value: Any) -> Any:
    """Timeouts may be given as numbers."""
    return str(value) if isinstance(value, (int, float)) else value
