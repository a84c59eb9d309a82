"""What an argument that takes substitutions accepts."""

import collections.abc
import os
from collections.abc import Iterable

from .substitution import Substitution

SomeSubstitutionsType = str | os.PathLike | Substitution | Iterable[str | os.PathLike | Substitution]
SomeSubstitutionsType_types_tuple = (str, os.PathLike, Substitution, collections.abc.Iterable)
