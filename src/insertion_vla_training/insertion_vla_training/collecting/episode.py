"""One seeded lock-step episode of the scripted expert, written as a bag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.calibration import load_calibration
from insertion_vla_core.contract import parse_contract
from insertion_vla_core.episode_metadata import EpisodeMetadata, to_custom_data
from insertion_vla_core.limits import load_limits
from insertion_vla_core.recording_index import list_recording, recording
from insertion_vla_policy.registry import load_backbone
from insertion_vla_sim.lockstep import Episode, Lockstep, instruction_for
from insertion_vla_sim.lockstep_streams import START_NS, stamp_ns
from insertion_vla_sim.randomise import Randomisation, draw_layout
from insertion_vla_sim.render import make_renderer

from insertion_vla_training.bags import BagReader, BagWriter
from insertion_vla_training.collecting.cameras import JpegCameras
from insertion_vla_training.collecting.expert import Disturbance, Variety, start_episode
from insertion_vla_training.collecting.recorder import BagRecorder, Identity

SOURCE = "collect --fast"
FIRST_NS = 1_767_225_600_000_000_000  # 2026-01-01: episodes are an hour apart from there, so that stamps differ
HOUR_NS = 3_600_000_000_000
LAST_SEED = 1_000_000  # hours that 64-bit stamps hold
CHECK_EVERY = 65  # samples between two questions whether to stop
GOOD_ENDS = ("finished",)


@dataclass(frozen=True)
class Settings:
    """What all episodes of a run have in common.

    Attributes:
        config: folder with limits.yaml, contracts/ and calibration/.
        randomisation: which set of scenes.
        variety: how much they differ beyond their scenes.
        features: name of the policy whose backbone sees the pictures, "" for none.
        time_limit_s: longest episode.
        revision: of the source.
    """

    config: Path
    randomisation: Randomisation = "train"
    variety: Variety = Variety()
    features: str = ""
    time_limit_s: float = 60.0
    revision: str = ""

    def parameters(self) -> dict[str, Any]:
        """What decides the content of an episode beside its seed, as its metadata say."""
        return {
            "randomisation": self.randomisation,
            **asdict(self.variety),
            "features": self.features,
            "time_limit_s": self.time_limit_s,
        }

    def episode_name(self, seed: int) -> str:
        """Another one for every seed and for all other settings, so that no two episodes of a store share it."""
        digest = hashlib.sha256(json.dumps(self.parameters(), sort_keys=True).encode()).hexdigest()
        return f"{self.randomisation}_{seed:06d}_{digest[:4]}"


@dataclass(frozen=True)
class Collected:
    """What became of one episode; `there`: it was whole already."""

    name: str
    outcome: str
    duration_s: float
    bad: bool = False
    reasons: tuple[str, ...] = ()
    there: bool = False


class Stopped(Exception):
    """The run is to end; the episode was given up."""


def collect_episode(seed: int, settings: Settings, out: Path, stop: Callable[[], bool] = lambda: False) -> Collected:
    """Play an episode and write its bag into the folder `out`, unless it is there and whole.

    Raises:
        Stopped: `stop` said so; there is no bag.
        ValueError: what is there is not this episode, or the configuration cannot be used.
        OSError: the bag cannot be written.
    """
    name = settings.episode_name(seed)
    if (out / name).exists():
        return _there(out / name, seed)
    text = (settings.config / "contracts" / "insertion.yaml").read_text(encoding="utf-8")
    calibration_file = settings.config / "calibration" / "sim.yaml"
    contract, limits = parse_contract(text, "contracts/insertion.yaml"), load_limits(settings.config / "limits.yaml")
    set_index = 0 if settings.randomisation == "train" else 1
    rng = np.random.default_rng([seed, set_index, 200])
    colour = draw_layout(seed, settings.randomisation).target
    metadata = EpisodeMetadata(
        name=name,
        source=SOURCE,
        contract=text,
        instruction=instruction_for(colour),
        seed=seed,
        parameters={"collect": settings.parameters()},
        git_revision=settings.revision,
        robot_calibration=(resources.files("insertion_vla_core") / "robots" / "meca500.yaml").read_text(),
        camera_calibration=calibration_file.read_text(encoding="utf-8"),
    )
    cameras = JpegCameras(make_renderer(backend="rays"), seed)
    identity = Identity(_hex(name, "session"), _hex(name, "goal"), metadata.instruction)
    offset_ns = FIRST_NS + (2 * seed + set_index) * HOUR_NS - START_NS
    with BagWriter(out / name, to_custom_data(metadata)) as writer:
        recorder = BagRecorder(writer, contract, load_calibration(calibration_file), cameras, identity, offset_ns, seed)
        play = Lockstep(
            seed,
            colour,
            limits=limits,
            contract=contract,
            backbone=load_backbone(settings.features, calibration_file) if settings.features else None,
            renderer=cameras if settings.features else None,
            randomisation=settings.randomisation,
            time_limit_s=settings.time_limit_s,
            views=[image.topic.split("/")[0] for image in contract.images],
            listener=recorder,
            disturb=Disturbance(settings.variety.disturbance, rng) if settings.variety.disturbance else None,
        )
        start_episode(play, seed, settings.variety, rng)
        steps = _play(play, stop)
        result = play.run()
        verdict = recorder.end(stamp_ns(steps), result.reason in GOOD_ENDS, result.reason)
        outcome = "success" if result.success else "failure"
        changes = {"outcome": outcome, "notes": _notes(result), "rates": verdict.rates}
        changes |= {"bad": bool(verdict.reasons), "reasons": verdict.reasons}
        writer.close(to_custom_data(metadata.model_copy(update=changes)))
    cameras.close()
    _list(out, name)
    return Collected(name, outcome, result.duration_s, bool(verdict.reasons), verdict.reasons)


def _play(play: Lockstep, stop: Callable[[], bool]) -> int:
    """Steps until the episode has ended; returns how many."""
    steps = 0
    while not play.ended:
        if steps % CHECK_EVERY == 0 and stop():
            raise Stopped
        play.step()
        steps += 1
    return steps


def _list(out: Path, name: str) -> None:
    """Put the episode on the list of the folder, as the recorder does."""
    reader = BagReader(out / name)
    first_ns, last_ns = reader.span_ns()
    messages = sum(topic.count for topic in reader.topics().values())
    size_bytes = sum(file.stat().st_size for file in (out / name).iterdir())
    duration_s = (last_ns - first_ns) / 1e9
    list_recording(out, recording(reader.episode(), name, first_ns, duration_s, messages, size_bytes))


def _there(bag: Path, seed: int) -> Collected:
    reader = BagReader(bag)
    found, (first_ns, last_ns) = reader.episode(), reader.span_ns()
    if found.seed != seed or found.source != SOURCE:
        raise ValueError(
            f"expected the episode of seed {seed} in {bag}, it holds one of seed {found.seed} from "
            f"'{found.source}'; collect into another folder, or remove it"
        )
    return Collected(found.name, found.outcome, (last_ns - first_ns) / 1e9, found.bad, found.reasons, there=True)


def _notes(result: Episode) -> str:
    truth = result.truth
    return (
        f"{result.reason}: {truth.lateral_m * 1e3:.2f} mm off the axis, {truth.overshoot_m * 1e3:+.2f} mm past the "
        f"membrane, peak force {truth.peak_force_n:.2f} N"
    )


def _hex(name: str, what: str) -> str:
    """32 hexadecimal digits as the graph's identifiers have, the same for the same episode."""
    return hashlib.sha256(f"{name}/{what}".encode()).hexdigest()[:32]
