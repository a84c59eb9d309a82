"""Remapping rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions

RemapRule = tuple[tuple[Substitution, ...], tuple[Substitution, ...]]


def normalize_remap_rule(remapping: Any) -> RemapRule:
    """(from, to), each as substitutions; TypeError unless it is a pair."""
    if not isinstance(remapping, tuple) or len(remapping) != 2:
        raise TypeError(f"expected a remapping to be a tuple (from, to), got {remapping!r}")
    source, target = remapping
    return tuple(normalize_to_list_of_substitutions(source)), tuple(normalize_to_list_of_substitutions(target))


def normalize_remap_rules(remappings: Iterable[Any]) -> Iterable[RemapRule]:
    """The rules in their order; TypeError for a dictionary or a text."""
    if isinstance(remappings, (dict, str)) or not isinstance(remappings, Iterable):
        raise TypeError(f"expected remappings to be a list of tuples (from, to), got {remappings!r}")
    return [normalize_remap_rule(remapping) for remapping in remappings]
