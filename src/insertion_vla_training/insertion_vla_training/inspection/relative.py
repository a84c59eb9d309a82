"""Judgements of one episode against the others of its data set, and of what it says of itself."""

from __future__ import annotations

import numpy as np
from insertion_vla_core.contract import Contract
from numpy.typing import NDArray

from insertion_vla_training.inspection.actions import check_jump
from insertion_vla_training.inspection.bounds import EPISODES_MIN, Bounds
from insertion_vla_training.inspection.check import Check, judged, not_judged
from insertion_vla_training.inspection.images import check_blurry
from insertion_vla_training.inspection.measured import Measured, Numbers
from insertion_vla_training.stores.episode_index import Episode


def checks_of(contract: Contract, episode: Episode, measured: Measured, bounds: Bounds) -> list[Check]:
    """All judgements of an episode."""
    found = [check_recording(episode), check_label(episode), check_duration(episode, bounds), *measured.checks]
    for view, least in bounds.sharpness.items():
        of = measured.views[view]
        found.append(check_blurry(view, array(of.sharpness), array(of.times_s), least))
    times_s = array(measured.chunk_times_s)
    for name, bound in bounds.jumps.items():
        found.append(check_jump(name, array(measured.jumps[name]), times_s, bound))
    if measured.missing_alines is not None:
        found.append(check_alines(measured.missing_alines, bounds.missing_alines))
    if measured.features == 0:
        payload = next(stream.name for stream in contract.observations if stream.payload)
        found.append(check_no_features(payload, bounds.features))
    return found


def array(values: Numbers) -> NDArray[np.float64]:
    """Numbers as an array, NaN for None."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def check_recording(episode: Episode) -> Check:
    """What recorder and preprocess found already."""
    said = "the recording says of itself: " + "; ".join(reason.rstrip(".") for reason in episode.reasons)
    if not episode.reasons:
        said = "the recording says nothing against itself" if not episode.bad else "the recording is marked as bad"
    return judged(
        "recording", "", float(episode.bad), (None, 0.0), "", said, "record it again; training leaves it out",
        "an episode that is fit for training",
    )  # fmt: skip


def check_label(episode: Episode) -> Check:
    """An outcome and an instruction: without them nobody knows what the episode shows."""
    wanted = {"an outcome": episode.outcome != "unknown", "an instruction": bool(episode.instruction.strip())}
    missing = [what for what, there in wanted.items() if not there]
    said = f"labelled as {episode.outcome}: '{episode.instruction}'"
    if missing:
        said = f"the episode lacks {' and '.join(missing)}"
    return judged(
        "label", "", float(len(missing)), (None, 0.0), "", said, "label it while recording, or in its bag's metadata",
        "an outcome (success, failure) and an instruction",
    )  # fmt: skip


def check_duration(episode: Episode, bounds: Bounds) -> Check:
    """Much shorter or longer than others that ended alike."""
    said = f"it lasts {episode.duration_s:.1f} s"
    if episode.outcome not in bounds.durations:
        return not_judged(
            "duration", "", f"{said}; fewer than {EPISODES_MIN} ended alike, so nobody knows what is usual"
        )
    return judged(
        "duration", "", episode.duration_s, bounds.durations[episode.outcome], "s", said,
        f"others that ended in {episode.outcome} do; look whether it was cut off or left running",
    )  # fmt: skip


def check_alines(missing: float, largest: float | None) -> Check:
    """Force samples without an A-line, where the sensor sends any."""
    said = f"{100 * missing:.3g} % of the force samples have no A-line"
    if largest is None:
        return not_judged("alines", "force", f"{said}, as in most episodes of this data set")
    return judged(
        "alines", "force", missing, (None, largest), "share", said, "look for lost packets or a sensor without light"
    )


def check_no_features(name: str, usual: bool) -> Check:
    """No features at all: they can be computed from the images, but others have them."""
    said = f"there are no '{name}'"
    if not usual:
        return not_judged("features", name, f"{said}, as in most episodes of this data set; compute them with: cache")
    return judged(
        "features", name, 0.0, (1.0, None), "", said, "the vlm node did not run; compute them with: cache",
        "features as in most episodes of this data set",
    )  # fmt: skip
