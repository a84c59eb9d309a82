from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from insertion_vla_core.contract import load_contract
from insertion_vla_core.limits import load_limits
from insertion_vla_sim.lockstep import Lockstep, Timing
from insertion_vla_sim.privileged import PrivilegedPolicy
from insertion_vla_sim.render import make_renderer

from insertion_vla_sim import sweep

CONFIG = Path(__file__).resolve().parents[3] / "config"
LIMITS = load_limits(CONFIG / "limits.yaml")
CONTRACT = load_contract(CONFIG / "contracts" / "insertion.yaml")


def lockstep(seed, **options):
    return Lockstep(seed, limits=LIMITS, contract=CONTRACT, **options)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_expert_succeeds(seed):
    episode = lockstep(seed).run()
    assert episode.success, episode.reason
    assert episode.reason == "finished" and episode.colour == episode.truth.target
    assert episode.duration_s < 25.0 and episode.rejected == 0
    assert 0.0 < episode.truth.overshoot_m <= 0.0005 and episode.truth.peak_force_n < 0.5


def test_expert_goes_where_it_is_told():
    colours = [c for c in ("red", "green", "blue") if c != lockstep(0).colour]
    episode = lockstep(0, colour=colours[0]).run()
    assert episode.success and episode.truth.trocars[colours[0]].inside
    assert not episode.truth.success(colours[1])


@pytest.mark.parametrize("seed", [0, 6])
def test_expert_searches_when_it_does_not_know_well(seed):
    episode = lockstep(seed)
    expert = PrivilegedPolicy(episode.world, episode.colour, seed, aim_error_m=0.0015)
    episode.policy = expert
    result = episode.run()
    assert result.success, result.reason
    assert expert.expert.searched > 0
    assert result.truth.peak_force_n < 1.0


def test_same_seed_same_episode_bit_for_bit():
    def trace(seed):
        play = lockstep(seed)
        states = []
        while not play.ended:
            play.step()
            states.append(np.append(play.world.render_state(), play.world.axial_force_n))
        return np.array(states)

    assert np.array_equal(trace(3), trace(3))


@dataclass
class Still:
    """Commands to stay, and keeps what it saw."""

    policy_id = "still"

    def __post_init__(self):
        self.seen = []

    def reset(self, goal, instruction):
        self.instruction = instruction

    def act(self, observation):
        self.seen.append(observation)
        return self.action()

    def action(self):
        return Command(np.zeros((8, 6)), np.zeros(8), "still")


@dataclass
class Command:
    deltas: np.ndarray
    aux: np.ndarray
    status: str


@dataclass
class Brightness:
    """A backbone whose only feature is the mean of each image."""

    def __post_init__(self):
        self.images = []

    def encode(self, images, instruction):
        self.images.append(images)
        return {"mean": [float(image.rgb.mean()) for image in images], "instruction": instruction}


def test_policy_sees_every_stream_at_its_rate_and_delay():
    policy, backbone, timing = Still(), Brightness(), Timing(feature_delay_s=0.4)
    play = lockstep(
        2,
        policy=policy,
        backbone=backbone,
        renderer=make_renderer(None, "rays"),
        time_limit_s=3.0,
        colour="red",
        timing=timing,
    )
    result = play.run()
    assert not result.success and "time limit" in result.reason
    assert policy.instruction == "Insert the needle into the red trocar"
    assert len(backbone.images) == pytest.approx(3.0 * 2.6, abs=1.0)
    views = backbone.images[-1]
    assert [image.view for image in views] == ["front", "side", "hand"]
    assert views[0].rgb.shape == (180, 320, 3)
    last = policy.seen[-1]
    force = last.streams["force"]
    assert force.values.shape == (650, 1) and force.mask.mean() > 0.95
    assert abs(float(np.mean(force.values[force.mask]))) < 0.02
    age_s = (last.stamp_ns - last.newest_ns["features"]) / 1e9
    assert timing.image_delay_s + timing.feature_delay_s <= age_s < 1.2
    assert last.streams["features"].newest["instruction"] == policy.instruction
    ticks = np.diff([seen.stamp_ns for seen in policy.seen]) / 1e9
    assert np.allclose(ticks, 0.1, atol=0.0016)


def test_inference_delay_costs_time_but_not_the_goal():
    quick = lockstep(1, timing=Timing(inference_delay_s=0.0)).run()
    slow = lockstep(1, timing=Timing(inference_delay_s=0.15)).run()
    assert quick.success and slow.success
    assert slow.truth.overshoot_m >= quick.truth.overshoot_m - 1e-4


def test_a_policy_that_gives_up_ends_the_episode():
    policy = Still()
    policy.action = lambda: Command(np.zeros((8, 6)), np.zeros(8), "failed: cannot see the trocar")
    result = lockstep(1, policy=policy).run()
    assert not result.success and result.reason == "failed: cannot see the trocar"


def test_finished_without_having_done_it_is_no_success():
    policy = Still()
    policy.action = lambda: Command(np.zeros((8, 6)), np.full(8, 2.0), "finished")
    result = lockstep(1, policy=policy).run()
    assert result.reason == "finished" and not result.success


def test_the_gate_refuses_what_a_mad_policy_wants():
    policy = Still()
    policy.action = lambda: Command(np.full((8, 6), np.nan), np.zeros(8), "mad")
    play = lockstep(1, policy=policy, time_limit_s=2.0)
    start = play.world.q
    result = play.run()
    assert not result.success and result.rejected == result.chunks > 5
    assert np.array_equal(play.world.q, start)


def test_running_into_the_eye_is_stopped_by_the_gate_below_the_hard_limit():
    policy = Still()
    rows = np.outer(np.arange(1, 9) * 0.002, [0.0, 0.0, -1.0, 0.0, 0.0, 0.0])
    policy.action = lambda: Command(rows, np.zeros(8), "down")
    result = lockstep(0, policy=policy, time_limit_s=20.0).run()
    assert not result.success and result.reason.startswith("fault")
    assert 0.3 < result.truth.peak_force_n < LIMITS.force_hard


def test_backbone_needs_a_renderer():
    with pytest.raises(ValueError, match="together with a renderer"):
        lockstep(1, backbone=Brightness())


def test_unknown_colour_is_refused():
    with pytest.raises(ValueError, match="got 'pink'"):
        lockstep(1, colour="pink")


def test_table_counts_and_names_the_failures():
    good = lockstep(1).run()
    bad = replace(good, seed=9, success=False, reason="fault: too much force")
    text = sweep.table([good, bad])
    assert "1/2 = 50.0 %" in text and "seed    9" in text and "too much force" in text


def test_command_line_plays_and_reports(capsys):
    assert sweep.main(["--seeds", "1", "--first", "2", "--processes", "1"]) == 0
    out = capsys.readouterr()
    assert "1/1 = 100.0 %" in out.out and "1/1 episodes" in out.err
