"""Episodes that hold the same moments: copies, and recordings that overlap."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations

from insertion_vla_training.inspection.measured import Measured

SHARE = 0.2  # of the pictures of the shorter one
REPEATED = 8  # a picture in so many episodes is a black screen, not a copy

Pair = tuple[str, str]


def duplicates(found: Mapping[str, Measured]) -> dict[Pair, str]:
    """Pairs of episodes, and why they are thought to be the same; `found` goes by the name of the episode."""
    pairs: dict[Pair, str] = {}
    pictures = {name: _pictures(measured) for name, measured in found.items()}
    for (a, b), count in Counter(_in_common(pictures)).items():
        if count >= SHARE * min(len(pictures[a]), len(pictures[b])):
            pairs[a, b] = f"{count} pictures in common"
    # All of them: short or coarse streams may well be equal by chance.
    numbers = {name: {json.dumps(of.streams)} if any(of.streams.values()) else set() for name, of in found.items()}
    for pair in _in_common(numbers):
        pairs[pair] = "the very same numbers"
    return pairs


def _in_common(marks: Mapping[str, set[str]]) -> Iterable[Pair]:
    """Every pair of owners of a mark, once for each mark that they share."""
    owners: dict[str, list[str]] = {}
    for name, own in marks.items():
        for mark in own:
            owners.setdefault(mark, []).append(name)
    for names in owners.values():
        if len(names) < REPEATED:
            yield from combinations(names, 2)


def _pictures(measured: Measured) -> set[str]:
    return {picture for view in measured.views.values() for picture in view.hashes if picture}
