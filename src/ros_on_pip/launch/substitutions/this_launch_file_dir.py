"""Folder of the launch file being read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..substitution import PathSubstitutionMixin, Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("dirname")
class ThisLaunchFileDir(PathSubstitutionMixin, Substitution):
    """Performs to the folder of the current launch file."""

    @classmethod
    def parse(cls, data: Any) -> tuple[type[ThisLaunchFileDir], dict[str, Any]]:
        if len(data) != 0:
            raise TypeError("dirname substitution doesn't expect arguments")
        return cls, {}

    def describe(self) -> str:
        return "ThisLaunchFileDir()"

    def perform(self, context: LaunchContext) -> str:
        directory = context.get_locals_as_dict().get("current_launch_file_directory")
        if directory is None:
            raise SubstitutionFailure("ThisLaunchFileDir used outside of a launch file (in a script)")
        return directory
