"""Inequality of two values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frontend.expose import expose_substitution
from .equals_substitution import EqualsSubstitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("not-equals")
class NotEqualsSubstitution(EqualsSubstitution):
    """Performs to `false` where `EqualsSubstitution` performs to `true`."""

    def perform(self, context: LaunchContext) -> str:
        return "false" if self._equal(context) else "true"
