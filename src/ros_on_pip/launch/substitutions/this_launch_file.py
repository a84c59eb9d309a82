"""Path of the launch file being read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..substitution import PathSubstitutionMixin, Substitution
from .substitution_failure import SubstitutionFailure

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("filename")
class ThisLaunchFile(PathSubstitutionMixin, Substitution):
    """Performs to the path of the current launch file."""

    @classmethod
    def parse(cls, data: Any) -> tuple[type[ThisLaunchFile], dict[str, Any]]:
        if len(data) != 0:
            raise TypeError("filename substitution doesn't expect arguments")
        return cls, {}

    def describe(self) -> str:
        return "ThisLaunchFile()"

    def perform(self, context: LaunchContext) -> str:
        path = context.get_locals_as_dict().get("current_launch_file_path")
        if path is None:
            raise SubstitutionFailure("ThisLaunchFile used outside of a launch file (in a script)")
        return path
