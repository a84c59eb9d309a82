"""Text of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("file-content")
class FileContent(Substitution):
    """Performs to the text of the file."""

    def __init__(self, path: SomeSubstitutionsType) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__path = normalize_to_list_of_substitutions(path)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[FileContent], dict[str, Any]]:
        if len(data) != 1:
            raise ValueError("file-content substitution expects 1 argument")
        return cls, {"path": data[0]}

    @property
    def path(self) -> list[Substitution]:
        return self.__path

    def describe(self) -> str:
        return "FileContent({})".format(" + ".join(sub.describe() for sub in self.path))

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        path = perform_substitutions(context, self.path)
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except OSError as error:
            raise SubstitutionFailure(f"expected a readable file at '{path}', got: {error}") from error
