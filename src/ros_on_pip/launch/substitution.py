"""Base class of everything that is turned into text only while the launch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext
    from .substitutions.path_join_substitution import PathJoinSubstitution


class Substitution:
    """Text that is known only when `perform` is called with the running context."""

    def describe(self) -> str:
        """How the substitution looks in `--show-args` and `--print`."""
        return repr(self)

    def perform(self, context: LaunchContext) -> str:
        """The text; a subclass that has none leaves it empty."""
        return ""


class PathSubstitutionMixin:
    """Gives a substitution that stands for a path the `/` operator, as pathlib has it."""

    def __truediv__(self, additional_path: object) -> PathJoinSubstitution:
        from .substitutions.path_join_substitution import PathJoinSubstitution

        return PathJoinSubstitution([self, additional_path])
