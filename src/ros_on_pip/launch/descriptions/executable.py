"""What process to run, and how."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..substitutions.launch_configuration import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..action import Action
    from ..launch_context import LaunchContext

Environment = dict[SomeSubstitutionsType, SomeSubstitutionsType]

# Processes are numbered in the order in which they are started, across all launches of this Python process.
_process_counter = itertools.count(1)


def _normalize_environment(
    environment: Environment | None,
) -> list[tuple[list[Substitution], list[Substitution]]] | None:
    if environment is None:
        return None
    return [
        (normalize_to_list_of_substitutions(name), normalize_to_list_of_substitutions(value))
        for name, value in environment.items()
    ]


class Executable:
    """A command with its name, folder and environment.

    Args:
        cmd: the command, one entry per argument.
        prefix: command line put before it, such as `gdb --args`; if not given, the launch configuration
            `launch-prefix` (for the commands that match the regular expression `launch-prefix-filter`, if set).
        name: shown in the log, with a number; the command's base name if not given.
        cwd: folder to run in.
        env: the whole environment of the process, instead of the launch's.
        additional_env: added to the environment.
        arguments: added to the command.
    """

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: Environment | None = None,
        additional_env: Environment | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
    ) -> None:
        self.__cmd = [normalize_to_list_of_substitutions(part) for part in cmd]
        self.__cmd += [normalize_to_list_of_substitutions(part) for part in arguments or ()]
        self.__own_prefix = prefix is not None
        self.__prefix = normalize_to_list_of_substitutions(
            LaunchConfiguration("launch-prefix", default="") if prefix is None else prefix
        )
        self.__prefix_filter = normalize_to_list_of_substitutions(
            LaunchConfiguration("launch-prefix-filter", default="")
        )
        self.__name = None if name is None else normalize_to_list_of_substitutions(name)
        self.__cwd = None if cwd is None else normalize_to_list_of_substitutions(cwd)
        self.__env = _normalize_environment(env)
        self.__additional_env = _normalize_environment(additional_env)
        self.__arguments = arguments
        self.__final_cmd: list[str] | None = None
        self.__final_name: str | None = None
        self.__final_cwd: str | None = None
        self.__final_env: dict[str, str] | None = None

    @property
    def name(self) -> list[Substitution] | None:
        return self.__name

    @property
    def prefix(self) -> list[Substitution]:
        return self.__prefix

    @property
    def cmd(self) -> list[list[Substitution]]:
        return self.__cmd

    @property
    def cwd(self) -> list[Substitution] | None:
        return self.__cwd

    @property
    def env(self) -> list[tuple[list[Substitution], list[Substitution]]] | None:
        return self.__env

    @property
    def additional_env(self) -> list[tuple[list[Substitution], list[Substitution]]] | None:
        return self.__additional_env

    @property
    def arguments(self) -> Iterable[SomeSubstitutionsType] | None:
        return self.__arguments

    @property
    def final_name(self) -> str | None:
        """Name with its number, once prepared."""
        return self.__final_name

    @property
    def final_cmd(self) -> list[str] | None:
        return self.__final_cmd

    @property
    def final_cwd(self) -> str | None:
        return self.__final_cwd

    @property
    def final_env(self) -> dict[str, str] | None:
        return self.__final_env

    def prepare(self, context: LaunchContext, action: Action) -> None:
        """Perform all substitutions, before the action starts the process."""
        self.apply_context(context)

    def apply_context(self, context: LaunchContext) -> None:
        """Perform all substitutions."""
        cmd = [perform_substitutions(context, part) for part in self.__cmd]
        name = os.path.basename(cmd[0]) if self.__name is None else perform_substitutions(context, self.__name)
        cmd = [*self.__performed_prefix(context, os.path.basename(cmd[0])), *cmd]
        self.__final_cmd = cmd
        self.__final_name = f"{name}-{next(_process_counter)}"
        self.__final_cwd = None if self.__cwd is None else perform_substitutions(context, self.__cwd)
        self.__final_env = self.__performed_environment(context)

    def __performed_prefix(self, context: LaunchContext, command: str) -> list[str]:
        pattern = perform_substitutions(context, self.__prefix_filter)
        if not self.__own_prefix and pattern and re.match(pattern, command) is None:
            return []
        return shlex.split(perform_substitutions(context, self.__prefix))

    def __performed_environment(self, context: LaunchContext) -> dict[str, str]:
        def performed(pairs: list[Any]) -> dict[str, str]:
            return {perform_substitutions(context, k): perform_substitutions(context, v) for k, v in pairs}

        environment = dict(context.environment) if self.__env is None else performed(self.__env)
        environment.update(performed(self.__additional_env or []))
        return environment
