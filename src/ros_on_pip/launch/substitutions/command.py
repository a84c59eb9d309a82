"""Output of a command."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

ON_STDERR = ("fail", "ignore", "warn", "capture")


@expose_substitution("command")
class Command(Substitution):
    """Performs to what the command writes to standard output.

    Args:
        command: one text, split as a shell does, without a shell.
        on_stderr: 'fail', 'ignore', 'warn' or 'capture' (standard error joins the output).
    """

    def __init__(self, command: SomeSubstitutionsType, *, on_stderr: SomeSubstitutionsType = "fail") -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__command = normalize_to_list_of_substitutions(command)
        self.__on_stderr = normalize_to_list_of_substitutions(on_stderr)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[Command], dict[str, Any]]:
        if not 1 <= len(data) <= 2:
            raise ValueError("command substitution expects 1 or 2 arguments")
        kwargs: dict[str, Any] = {"command": data[0]}
        if len(data) == 2:
            kwargs["on_stderr"] = data[1]
        return cls, kwargs

    @property
    def command(self) -> list[Substitution]:
        return self.__command

    @property
    def on_stderr(self) -> list[Substitution]:
        return self.__on_stderr

    def describe(self) -> str:
        return "Command({})".format(" + ".join(sub.describe() for sub in self.command))

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        command = perform_substitutions(context, self.command)
        on_stderr = perform_substitutions(context, self.on_stderr)
        if on_stderr not in ON_STDERR:
            raise SubstitutionFailure(f"expected 'on_stderr' to be one of {', '.join(ON_STDERR)}, got '{on_stderr}'")
        stderr = subprocess.STDOUT if on_stderr == "capture" else subprocess.PIPE
        try:
            result = subprocess.run(
                shlex.split(command), stdout=subprocess.PIPE, stderr=stderr, text=True, env=dict(context.environment)
            )
        except FileNotFoundError as error:
            raise SubstitutionFailure(f"file not found: {error}") from error
        except OSError as error:
            raise SubstitutionFailure(f"executed command failed. Command: {command}\nError: {error}") from error
        if result.returncode != 0:
            output = f"\nCaptured stderr output: {result.stderr}" if result.stderr else ""
            raise SubstitutionFailure(f"executed command failed. Command: {command}{output}")
        if result.stderr:
            message = (
                f"executed command showed stderr output. Command: {command}\nCaptured stderr output:\n{result.stderr}"
            )
            if on_stderr == "fail":
                raise SubstitutionFailure(message)
            if on_stderr == "warn":
                from ..logging import get_logger

                get_logger(__name__).warning(message)
        return result.stdout
