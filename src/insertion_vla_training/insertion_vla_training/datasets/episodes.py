"""Which episodes of a store are for training."""

from __future__ import annotations

from typing import Literal

from insertion_vla_core.strict_yaml import StrictModel
from pydantic import Field

from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store

LabelSource = Literal["chunks", "commands"]


class DataSource(StrictModel):
    """One store as a source of samples.

    Attributes:
        store: its folder.
        weight: share of the samples of an epoch, relative to the other sources (3, 2, 1, ...); 0 leaves it out.
        label: "chunks", what the expert of the episode planned; "commands", what the gate let through (teleoperation).
        include_bad: also episodes that are flagged bad.
        include_failed: also episodes whose outcome is "failure".
        cache: folder for what is computed from the store; by default `cache` within it.
    """

    store: str
    weight: float = Field(default=1.0, ge=0.0)
    label: LabelSource = "chunks"
    include_bad: bool = False
    include_failed: bool = False
    cache: str | None = None


def usable_episodes(
    store: Store, split: str | None = None, include_bad: bool = False, include_failed: bool = False
) -> list[Episode]:
    """Episodes of a split (None: of all) without those that are bad or failed."""
    return [
        episode
        for episode in store.episodes(split)
        if (include_bad or not episode.bad) and (include_failed or episode.outcome != "failure")
    ]
