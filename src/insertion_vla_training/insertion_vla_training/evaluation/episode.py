"""One seeded closed-loop episode of a policy, measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from insertion_vla_core.contract import Contract, load_contract
from insertion_vla_core.limits import Limits, load_limits
from insertion_vla_core.revision import git_revision
from insertion_vla_sim.lockstep import Lockstep
from insertion_vla_sim.randomise import draw_layout
from insertion_vla_sim.render import make_renderer
from insertion_vla_sim.truth import CONTACT_FORCE_N

from insertion_vla_training.collecting.cameras import JpegCameras
from insertion_vla_training.evaluation.hardships import (
    CoveredView,
    Delay,
    NumbedPolicy,
    OtherEpisode,
    Recorder,
    told_sentence,
)
from insertion_vla_training.evaluation.measures import path_error, sparc
from insertion_vla_training.evaluation.outcome import SUCCESS, outcome_of
from insertion_vla_training.evaluation.player import Loaded, TimedBackbone, TimedPolicy, load_player
from insertion_vla_training.evaluation.settings import Settings
from insertion_vla_training.evaluation.trace import Trace, Tracer, load_trace

OTHER_SEEDS = 1_000_000
LOOK_EVERY = 13  # samples between two looks at where the tip is (50 Hz), and whether to stop


class Stopped(Exception):
    """The run is to end; the episode was given up."""


@dataclass(frozen=True)
class Result:
    """What was measured in one episode; None where there was nothing to measure.

    Attributes:
        seed, colour: of the episode, and of the trocar that the instruction named.
        outcome: SUCCESS or a reason of `outcome.FAILURES`; `detail` says it in a sentence.
        wrong_trocar: another one that the needle was in at any time.
        duration_s: simulated time to the end.
        peak_force_n, mean_force_n: true axial force; the mean over the time in contact.
        depth_error_mm, lateral_mm: of the tip at the end: past the membrane, and off the axis of the named trocar.
        path_median_mm, path_p95_mm, path_median_deg, path_p95_deg: from the expert's path, see `path_error`.
        sparc: spectral arc length of the tip's speed; `expert_sparc` of the expert on the same seed.
        gap_mm: mean distance of each chunk from the one before, at the times that both speak of.
        diversity_mm: median over observations of the spread of samples' ends (root mean square).
        chunks, rejected: that the policy gave, and of them by the gate.
        inference_ms, features_ms: wall time of every chunk and of every encoding on this machine.
        revision: of the code that played it, as `git_revision`.
    """

    seed: int
    colour: str
    outcome: str
    detail: str
    wrong_trocar: str | None
    duration_s: float
    peak_force_n: float
    mean_force_n: float | None
    depth_error_mm: float
    lateral_mm: float
    path_median_mm: float
    path_p95_mm: float
    path_median_deg: float
    path_p95_deg: float
    sparc: float | None
    expert_sparc: float | None
    gap_mm: float | None
    diversity_mm: float | None
    chunks: int
    rejected: int
    inference_ms: tuple[float, ...]
    features_ms: tuple[float, ...]
    revision: str = ""

    @property
    def success(self) -> bool:
        """Whether the needle went where it should."""
        return self.outcome == SUCCESS

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Bench:
    """All that the episodes of an evaluation need, read once per process."""

    settings: Settings
    contract: Contract
    limits: Limits
    player: Loaded
    revision: str


def load_bench(settings: Settings) -> Bench:
    """Read policy and configuration.

    Raises:
        ValueError: they cannot be used; what to do is in the sentence.
    """
    contract, limits = load_contract(settings.contract), load_limits(settings.config / "limits.yaml")
    return Bench(settings, contract, limits, load_player(settings, contract), git_revision(__file__))


def play_episode(
    seed: int, bench: Bench, experts: Path, stop: Callable[[], bool] = lambda: False
) -> tuple[Result, Trace]:
    """Play and measure one episode.

    Args:
        seed: of the scene and of all noise.
        bench: of the evaluation.
        experts: folder of the expert's paths; they are played once, and the next policy on these seeds finds them.
        stop: asked now and then.

    Raises:
        Stopped: `stop` said so.
        OSError: the expert's path cannot be written.
    """
    settings, player, tracer = bench.settings, bench.player, Tracer()
    backbone = TimedBackbone(player.backbone) if player.backbone else None
    cameras = JpegCameras(make_renderer(backend="rays"), seed) if backbone else None
    colour = draw_layout(seed, settings.randomisation).target
    play = Lockstep(
        seed,
        limits=bench.limits,
        contract=bench.contract,
        policy=player.expert,
        backbone=backbone,
        renderer=CoveredView(cameras, settings.covered) if cameras and settings.covered else cameras,
        randomisation=settings.randomisation,
        timing=settings.timing,
        time_limit_s=settings.time_limit_s,
        views=player.views,
        listener=tracer,
        instruction=told_sentence(settings.told, colour),
        execution="blend" if settings.execution == "guided" else settings.execution,
    )
    policy = TimedPolicy(play.policy, settings.diversity_samples if player.draws else 0)
    play.policy = _numbed(policy, seed, bench, stop)
    force_n, wrong = _play(play, stop)
    episode = play.run()
    if cameras is not None:
        cameras.close()
    trace, expert = tracer.trace(), _expert_trace(seed, bench, experts, stop)
    error, truth = path_error(trace, expert), episode.truth
    detail = episode.reason if episode.reason.startswith(("failed", "finished")) or not play.status else (
        f"{episode.reason}; the policy's last words: {play.status}"
    )  # fmt: skip
    touching = force_n[force_n > CONTACT_FORCE_N]
    result = Result(
        seed=seed,
        colour=episode.colour,
        outcome=outcome_of(episode, wrong),
        detail=detail,
        wrong_trocar=wrong,
        duration_s=round(episode.duration_s, 4),
        peak_force_n=_rounded(truth.peak_force_n),
        mean_force_n=_rounded(touching.mean()) if len(touching) else None,
        depth_error_mm=_rounded(truth.overshoot_m * 1e3),
        lateral_mm=_rounded(truth.lateral_m * 1e3),
        path_median_mm=_rounded(error.median_m * 1e3),
        path_p95_mm=_rounded(error.p95_m * 1e3),
        path_median_deg=_rounded(math.degrees(error.median_rad)),
        path_p95_deg=_rounded(math.degrees(error.p95_rad)),
        sparc=_or_none(sparc(trace.tips)),
        expert_sparc=_or_none(sparc(expert.tips)),
        gap_mm=_rounded(1e3 * float(np.mean(tracer.gaps_m))) if tracer.gaps_m else None,
        diversity_mm=_median_mm(policy.spreads_m),
        chunks=episode.chunks,
        rejected=episode.rejected,
        inference_ms=tuple(_rounded(1e3 * s, 3) for s in policy.seconds),
        features_ms=tuple(_rounded(1e3 * s, 3) for s in backbone.seconds) if backbone else (),
        revision=bench.revision,
    )
    return result, trace


def _play(play: Lockstep, stop: Callable[[], bool]) -> tuple[np.ndarray, str | None]:
    """Step to the end; the true axial force at each sample (n,) [N], and another trocar that the needle was in."""
    force_n, wrong, steps = [], None, 0
    while not play.ended:
        if steps % LOOK_EVERY == 0:
            if stop():
                raise Stopped
            wrong = wrong or play.world.truth(play.colour).wrong_trocar()
        play.step()
        force_n.append(play.world.axial_force_n)
        steps += 1
    return np.array(force_n), wrong or play.world.truth(play.colour).wrong_trocar()


def _numbed(policy: Any, seed: int, bench: Bench, stop: Callable[[], bool]) -> Any:
    """The policy with the sense of touch that the settings give it."""
    if bench.settings.touch == "own":
        return policy
    if bench.settings.touch == "delayed":
        return NumbedPolicy(policy, Delay())
    # Of the expert on a scene that is in no evaluation.
    play = Lockstep(seed + OTHER_SEEDS, limits=bench.limits, contract=bench.contract)
    play.policy = recorder = Recorder(play.policy)
    _play(play, stop)
    return NumbedPolicy(policy, OtherEpisode(recorder.felt))


def _expert_trace(seed: int, bench: Bench, experts: Path, stop: Callable[[], bool]) -> Trace:
    path = experts / f"{bench.settings.randomisation}_{seed:06d}.npz"
    if not path.exists():
        tracer = Tracer()
        play = Lockstep(
            seed, limits=bench.limits, contract=bench.contract,
            randomisation=bench.settings.randomisation, listener=tracer,
        )  # fmt: skip
        _play(play, stop)
        tracer.trace().save(path)
    return load_trace(path)


def _rounded(value: float, digits: int = 6) -> float:
    return round(float(value), digits)


def _or_none(value: float | None) -> float | None:
    return None if value is None else _rounded(value)


def _median_mm(values_m: Sequence[float]) -> float | None:
    return _rounded(1e3 * float(np.median(values_m))) if values_m else None
