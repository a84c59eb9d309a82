"""A unique name, the same for the whole launch."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("anon")
class AnonName(Substitution):
    """Performs to `<name>_<host>_<pid>_<time>`, with only letters, digits and underscores."""

    def __init__(self, name: SomeSubstitutionsType) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__name = normalize_to_list_of_substitutions(name)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[AnonName], dict[str, Any]]:
        if len(data) != 1:
            raise TypeError("anon substitution expects 1 argument")
        return cls, {"name": data[0]}

    @property
    def name(self) -> list[Substitution]:
        return self.__name

    def describe(self) -> str:
        return "AnonName({})".format(" + ".join(sub.describe() for sub in self.name))

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        name = perform_substitutions(context, self.name)
        key = "anon" + name
        if key not in context.launch_configurations:
            context.launch_configurations[key] = self.compute_name(name)
        return context.launch_configurations[key]

    def compute_name(self, name: str) -> str:
        unique = f"{name}_{socket.gethostname()}_{os.getpid()}_{int(time.time() * 1000)}"
        return "".join(character if character.isalnum() else "_" for character in unique)
