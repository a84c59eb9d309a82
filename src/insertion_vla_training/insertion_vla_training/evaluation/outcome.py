"""Why an episode failed, in one of a few words that can be counted."""

from __future__ import annotations

from insertion_vla_sim.lockstep import Episode
from insertion_vla_sim.truth import MAX_FORCE_N, MAX_OVERSHOOT_M

SUCCESS = "success"
WRONG_TARGET = "wrong target"
FORCE, FAULT, GAVE_UP, TIME_LIMIT = "force limit", "fault", "gave up", "time limit"
TOO_FAR, NOT_THERE = "pushed too far", "finished elsewhere"
FAILURES = (WRONG_TARGET, FORCE, FAULT, TOO_FAR, GAVE_UP, TIME_LIMIT, NOT_THERE)


def outcome_of(episode: Episode, wrong_trocar: str | None) -> str:
    """SUCCESS, or the first of FAILURES that is true of an episode.

    Args:
        episode: how it ended.
        wrong_trocar: colour of another tube that the needle was in at any time, None for none.
    """
    truth = episode.truth
    if wrong_trocar is not None:
        return WRONG_TARGET
    if episode.success:
        return SUCCESS
    if truth.peak_force_n > MAX_FORCE_N or (episode.reason.startswith("fault") and "force" in episode.reason):
        return FORCE
    if episode.reason.startswith("fault"):
        return FAULT
    if truth.aim.peak_overshoot_m > MAX_OVERSHOOT_M:
        return TOO_FAR
    if episode.reason.startswith("failed"):
        return GAVE_UP
    return TIME_LIMIT if episode.reason.startswith("time limit") else NOT_THERE
