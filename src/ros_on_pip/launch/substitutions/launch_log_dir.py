"""Folder of the launch's log files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..substitution import PathSubstitutionMixin, Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("launch_log_dir")
@expose_substitution("log_dir")
class LaunchLogDir(PathSubstitutionMixin, Substitution):
    """Performs to the log folder of this launch."""

    @classmethod
    def parse(cls, data: Any) -> tuple[type[LaunchLogDir], dict[str, Any]]:
        if len(data) != 0:
            raise ValueError("launch_log_dir/log_dir substitution does not expect any arguments")
        return cls, {}

    def describe(self) -> str:
        return "LaunchLogDir()"

    def perform(self, context: LaunchContext) -> str:
        from ..logging import launch_config

        return launch_config.log_dir
