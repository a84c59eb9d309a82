"""Anything that stands for text, as a list of substitutions."""

import os
from collections.abc import Iterable
from typing import Any

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..substitutions.text_substitution import TextSubstitution


def normalize_one(item: Any) -> Substitution:
    if isinstance(item, Substitution):
        return item
    if isinstance(item, (str, os.PathLike)):
        return TextSubstitution(text=os.fspath(item))
    raise TypeError(
        f"Failed to normalize given item of type '{type(item)}', "
        "when only 'str' or 'launch.Substitution' were expected."
    )


def normalize_to_list_of_substitutions(subs: SomeSubstitutionsType) -> list[Substitution]:
    """A str, path or substitution becomes a list of one; an iterable keeps its order."""
    if isinstance(subs, Iterable) and not isinstance(subs, (str, os.PathLike, Substitution)):
        return [normalize_one(item) for item in subs]
    return [normalize_one(subs)]
