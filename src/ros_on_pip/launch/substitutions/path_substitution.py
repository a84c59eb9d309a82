"""A path to start joining from."""

from __future__ import annotations

from ..some_substitutions_type import SomeSubstitutionsType
from .path_join_substitution import PathJoinSubstitution


class PathSubstitution(PathJoinSubstitution):
    """Performs to its path; `PathSubstitution('a') / 'b'` joins."""

    def __init__(self, path: SomeSubstitutionsType) -> None:
        super().__init__([path])
