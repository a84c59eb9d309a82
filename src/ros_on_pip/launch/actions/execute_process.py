"""Run a command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..descriptions.executable import Executable
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from .execute_local import ExecuteLocal


class ExecuteProcess(ExecuteLocal):
    """Runs `cmd`, one entry per argument; see `Executable` and `ExecuteLocal` for the other arguments."""

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: dict[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        additional_env: dict[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        executable = Executable(cmd=cmd, prefix=prefix, name=name, cwd=cwd, env=env, additional_env=additional_env)
        super().__init__(process_description=executable, **kwargs)

    @property
    def name(self) -> str | None:
        """The process's name: the one given, before execution; with its number afterwards."""
        if self.process_description.final_name is not None:
            return self.process_description.final_name
        return self.process_description.name  # type: ignore[return-value]

    @property
    def cmd(self) -> list[list[Substitution]]:
        if self.process_description.final_cmd is not None:
            return self.process_description.final_cmd  # type: ignore[return-value]
        return self.process_description.cmd

    @property
    def cwd(self) -> Any:
        if self.process_description.final_cwd is not None:
            return self.process_description.final_cwd
        return self.process_description.cwd

    @property
    def env(self) -> Any:
        if self.process_description.final_env is not None:
            return self.process_description.final_env
        return self.process_description.env

    @property
    def additional_env(self) -> Any:
        return self.process_description.additional_env
