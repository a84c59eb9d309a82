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
from ..events.process.process_exited import ProcessExited
from ..events.process.shutdown_process import ShutdownProcess
from ..events.process.signal_process import SignalProcess
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..substitutions.launch_configuration import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.process_life import ProcessLife, ProcessSettings
from ..utilities.process_output import ProcessOutput
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

        self.__process_event_args: dict[str, Any] | None = None
        self.__process_output: ProcessOutput | None = None
        self.__life: ProcessLife | None = None
        self.__executed = False

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
        return None if self.__life is None else self.__life.return_code

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
        return "" if self.__process_output is None else self.__process_output.text(fd)

    def get_asyncio_future(self) -> asyncio.Future | None:
        return None if self.__life is None else self.__life.completed

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

    def __performed_settings(self, context: LaunchContext) -> ProcessSettings:
        """Those of the scope that the action is executed in."""
        emulate_tty = self.__emulate_tty
        if "emulate_tty" in context.launch_configurations:
            text = str(context.launch_configurations["emulate_tty"])
            emulate_tty = evaluate_condition_expression(context, normalize_to_list_of_substitutions(text))
        return ProcessSettings(
            shell=self.__shell,
            emulate_tty=emulate_tty,
            log_cmd=self.__log_cmd,
            timeouts_s=(
                perform_typed_substitution(context, self.__sigterm_timeout, float),
                perform_typed_substitution(context, self.__sigkill_timeout, float),
            ),
            respawn=perform_typed_substitution(context, self.__respawn, bool),
            respawn_delay_s=self.__respawn_delay or 0.0,
            respawn_max_retries=self.__respawn_max_retries,
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
        settings = self.__performed_settings(context)
        output = self.__output if isinstance(self.__output, dict) else perform_substitutions(context, self.__output)
        self.__process_output = ProcessOutput(name, output, self.__format_line, keep=self.__cached_output)
        details = self.__process_event_args
        assert details is not None
        self.__life = ProcessLife(context, details, settings, logging.get_logger(name))
        for handler in self.__event_handlers(self.__life, self.__process_output):
            context.register_event_handler(handler)
        return None

    def __format_line(self, line: str) -> str:
        return self.__output_format.format(line=line, this=self)

    def __event_handlers(self, life: ProcessLife, output: ProcessOutput) -> list[BaseEventHandler]:
        """What the action listens to; the last one is called first."""

        def on_shutdown(event: Event, context: LaunchContext) -> None:
            # Ctrl-C in a terminal goes to all its processes: those launched have had it already.
            due_to_sigint = event.due_to_sigint  # type: ignore[attr-defined]
            life.shutdown(send_sigint=not due_to_sigint or context.noninteractive)

        handlers: list[BaseEventHandler] = [
            EventHandler(
                matcher=lambda event: isinstance(event, ShutdownProcess) and event.process_matcher(self),
                entities=OpaqueFunction(function=lambda context: life.shutdown(send_sigint=True)),
            ),
            EventHandler(
                matcher=lambda event: isinstance(event, SignalProcess) and event.process_matcher(self),
                entities=OpaqueFunction(function=lambda context: life.send_signal(context.locals.event.signal)),
            ),
            OnShutdown(on_shutdown=on_shutdown),
            OnProcessIO(
                target_action=self,
                on_stdin=lambda event: life.write(event.text),
                on_stdout=lambda event: output.feed(event.fd, event.text),
                on_stderr=lambda event: output.feed(event.fd, event.text),
            ),
        ]
        if self.__on_exit is not None:
            handlers.append(OnProcessExit(target_action=self, on_exit=self.__on_exit))
        handlers.append(OnProcessExit(target_action=self, on_exit=lambda event, context: output.flush()))
        return handlers

    def _kill(self) -> None:
        """End the process and its children at once."""
        if self.__life is not None:
            self.__life.kill()


def _seconds(value: Any) -> Any:
    """Timeouts may be given as numbers."""
    return str(value) if isinstance(value, (int, float)) else value
