"""Judgements of a data set as a whole: its split, its duplicates, its statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from insertion_vla_training.inspection.check import Check, judged, not_judged
from insertion_vla_training.inspection.duplicates import duplicates
from insertion_vla_training.inspection.measured import Measured
from insertion_vla_training.stores.episode_index import TRAIN, VALIDATION, Episode
from insertion_vla_training.stores.statistics import load_statistics
from insertion_vla_training.stores.store import Store

UNLIKELY = 0.001  # chance of a split that is at least so uneven, over all values that are looked at
SPLIT_MIN = 10  # with so many episodes both splits should have some
NAMED = 3
CONSTANT = 1e-9

KEYS: dict[str, Callable[[Episode], str]] = {
    "instruction": lambda episode: episode.instruction,
    "outcome": lambda episode: episode.outcome,
    "source": lambda episode: episode.source,
}


def checks_of_dataset(store: Store, found: Mapping[str, Measured]) -> list[Check]:
    """All of them; `found` goes by the name of the episode."""
    episodes = store.episodes()
    return [
        check_split(episodes),
        *(check_balance(name, key, episodes) for name, key in KEYS.items()),
        check_unseen(episodes),
        check_seeds(episodes),
        check_duplicates(found),
        *check_statistics(store),
    ]


def check_split(episodes: Sequence[Episode]) -> Check:
    """Both splits have episodes that can be used."""
    counts = {split: sum(e.split == split and not e.bad for e in episodes) for split in (TRAIN, VALIDATION)}
    said = f"{counts[TRAIN]} good episodes are for training, {counts[VALIDATION]} for validation"
    least = 1 if len(episodes) >= SPLIT_MIN else 0
    number = counts[TRAIN] if least == 0 else min(counts.values())
    return judged(
        "split", "", float(number), (1.0, None), "episodes", said,
        "record more, or make the store again with another --seed or --val-share of preprocess",
        "some in both" if least else "some for training",
    )  # fmt: skip


def counts_by(key: Callable[[Episode], str], episodes: Sequence[Episode]) -> dict[str, tuple[int, int]]:
    """Episodes for training and for validation by value, the most frequent first."""
    found: dict[str, list[int]] = {}
    for episode in episodes:
        found.setdefault(key(episode), [0, 0])[episode.split != TRAIN] += 1
    ranked = sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))
    return {value: (train, other) for value, (train, other) in ranked}


def check_balance(name: str, key: Callable[[Episode], str], episodes: Sequence[Episode]) -> Check:
    """Whether a split by lot could be as uneven as this one; the value is the chance of the most uneven part."""
    counts = counts_by(key, episodes)
    total, validation = len(episodes), sum(e.split != TRAIN for e in episodes)
    if len(counts) < 2 or validation in (0, total):
        kinds = f"the same {name} in all" if len(counts) < 2 else f"{len(counts)} kinds of {name}"
        return not_judged("balance", name, f"{kinds}, {validation} of {total} episodes for validation")
    chances = {value: as_uneven(train + other, other, total, validation) for value, (train, other) in counts.items()}
    worst = min(chances, key=lambda value: chances[value])
    train, other = counts[worst]
    chance = min(1.0, chances[worst] * len(chances))
    return judged(
        "balance", name, chance, (UNLIKELY, None), "",
        f"the most uneven {name} is '{worst}' with {train} episodes for training and {other} for validation",
        "the split is not by lot; make the store again with preprocess and another --seed",
        "a split like one by lot",
    )  # fmt: skip


def as_uneven(of_value: int, taken: int, total: int, drawn: int) -> float:
    """Chance that a lot takes a number at least as unlikely as `taken` (two-sided hypergeometric test).

    Args:
        of_value: episodes with the value.
        taken: of those, for validation.
        total, drawn: all episodes, and all for validation.
    """
    low, high = max(0, drawn - (total - of_value)), min(of_value, drawn)
    ways = {k: math.comb(of_value, k) * math.comb(total - of_value, drawn - k) for k in range(low, high + 1)}
    return sum(way for way in ways.values() if way <= ways[taken]) / math.comb(total, drawn)


def check_unseen(episodes: Sequence[Episode]) -> Check:
    """Instructions that validation asks for and training never shows."""
    seen = {e.instruction for e in episodes if e.split == TRAIN}
    unseen = sorted({e.instruction for e in episodes if e.split != TRAIN} - seen)
    said = "every instruction of the validation split is in the training split too"
    if unseen:
        said = f"the validation split has instructions that training never shows: {_some(unseen)}"
    return judged(
        "unseen", "instruction", float(len(unseen)), (None, 0.0), "instructions", said,
        "record episodes of them, or split with another --seed of preprocess", "none",
    )  # fmt: skip


def check_seeds(episodes: Sequence[Episode]) -> Check:
    """Simulated worlds that are in both splits: validation would ask for what training has shown."""
    worlds = {split: {(e.source, e.seed) for e in episodes if e.seed is not None and e.split == split}
              for split in (TRAIN, VALIDATION)}  # fmt: skip
    shared = sorted(worlds[TRAIN] & worlds[VALIDATION])
    said = "no seed is in both splits"
    if shared:
        said = f"{len(shared)} seeds are in both splits: {_some([f'{seed} ({source})' for source, seed in shared])}"
    return judged(
        "leak", "seed", float(len(shared)), (None, 0.0), "seeds", said,
        "collect validation episodes with seeds of their own", "none",
    )  # fmt: skip


def check_duplicates(found: Mapping[str, Measured]) -> Check:
    """Episodes that hold the same moments."""
    pairs = duplicates(found)
    said = "no two episodes hold the same moments"
    if pairs:
        said = "episodes hold the same moments: " + _some([f"{a} and {b} ({why})" for (a, b), why in pairs.items()])
    return judged(
        "duplicates", "", float(len(pairs)), (None, 0.0), "pairs", said,
        "leave the bag of one of each pair out and make the store again", "none",
    )  # fmt: skip


def check_statistics(store: Store) -> list[Check]:
    """The statistics belong to the training split, and no channel is constant."""
    try:
        streams = load_statistics(store)
    except ValueError as error:
        return [
            judged("statistics", "", 0.0, (1.0, None), "", f"the statistics cannot be used ({error})",
                   "run preprocess once more", "statistics of the present training split")
        ]  # fmt: skip
    constant = [f"{name}.{channel}" for name, values in streams.items() for channel in constant_channels(values)]
    said = "every channel of the training split varies"
    if constant:
        said = f"channels of the training split never change: {_some(constant)}"
    return [
        judged("statistics", "", 1.0, (1.0, None), "", "the statistics belong to the present training split", ""),
        judged("constant", "", float(len(constant)), (None, 0.0), "channels", said,
               "a dead sensor, or a channel that the contract should not have", "none"),
    ]  # fmt: skip


def constant_channels(values: dict[str, Any]) -> list[str]:
    """Channels of a stream's statistics that have data which never change."""
    spread = zip(values["channels"], values["count"], values["std"], values["mean"], strict=True)
    return [name for name, count, std, mean in spread if count > 1 and std <= CONSTANT * max(1.0, abs(mean))]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
