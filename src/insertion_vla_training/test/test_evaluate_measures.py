"""What an evaluation measures, on intervals, paths, chunks and ends of episodes made by hand."""

import math

import numpy as np
import pytest
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.geometry import Pose, exp_so3
from insertion_vla_sim.lockstep import Episode
from insertion_vla_sim.randomise import draw_layout
from insertion_vla_sim.truth import TouchedTube, Truth
from insertion_vla_training.evaluation import outcome
from insertion_vla_training.evaluation.measures import path_error, sparc
from insertion_vla_training.evaluation.summary import wilson
from insertion_vla_training.evaluation.trace import Trace, Tracer

DOWN = np.array([0.0, 0.0, -1.0])
LAYOUT = draw_layout(0)
TUBES = [Pose(np.array([0.2, 0.02 * i, 0.07]), exp_so3(np.array([0.1 * i, 0.2, 0.0]))) for i in range(3)]
NAMED, OTHER = LAYOUT.colours[:2]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_that_of_the_literature(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(trials - successes, trials)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=5e-5)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_share(successes, trials):
    with pytest.raises(ValueError, match=f"got {successes} of {trials}"):
        wilson(successes, trials)


def trace(tips, needles=DOWN):
    tips = np.asarray(tips, float)
    return Trace(tips, np.broadcast_to(needles, tips.shape).copy(), np.zeros((0, 15)))


def straight(length=0.05, count=200, aside=0.0):
    return np.column_stack([np.full(count, aside), np.zeros(count), -np.linspace(0.0, length, count)])


def test_path_error_of_the_same_path_is_zero_however_fast_it_was():
    slowly = np.repeat(straight(count=30), 4, axis=0)
    error = path_error(trace(slowly), trace(straight()))
    assert (error.p95_m, error.p95_rad) == pytest.approx((0.0, 0.0), abs=1e-7)


def test_path_error_is_the_distance_in_space_and_the_angle_between_the_needles():
    tilted = exp_so3(np.array([math.radians(3.0), 0.0, 0.0])) @ DOWN
    error = path_error(trace(straight(aside=0.002), tilted), trace(straight()))
    assert (error.median_m, error.p95_m) == pytest.approx((0.002, 0.002))
    assert (error.median_rad, error.p95_rad) == pytest.approx((math.radians(3.0),) * 2, abs=1e-6)


def test_to_leave_out_a_part_of_the_path_is_an_error():
    error = path_error(trace(straight(length=0.025)), trace(straight(length=0.05)))
    assert error.median_m < 1e-6 and 0.015 < error.p95_m < 0.025
    still = path_error(trace(np.zeros((50, 3))), trace(straight(length=0.05)))
    assert still.median_m == pytest.approx(0.025, abs=0.001)


def test_a_short_detour_is_in_the_95th_percentile_and_not_in_the_median():
    path = straight(count=1000)
    path[450:520, 0] += 0.004 * np.sin(np.linspace(0.0, np.pi, 70))
    error = path_error(trace(path), trace(straight()))
    assert error.median_m < 1e-6 and 0.001 < error.p95_m < 0.0041


def minimum_jerk(count, length=0.05):
    t = np.linspace(0.0, 1.0, count)[:, None]
    return length * (10 * t**3 - 15 * t**4 + 6 * t**5) * DOWN


def test_smoothness_knows_a_smooth_motion_from_a_halting_one_at_any_speed_and_length():
    smooth = sparc(minimum_jerk(200))
    assert -1.6 < smooth < -1.3, "a minimum-jerk motion, as in the literature"
    assert sparc(minimum_jerk(400, 0.01)) == pytest.approx(smooth, abs=0.02)
    halting = np.concatenate([minimum_jerk(100), minimum_jerk(100) + 0.05 * DOWN, minimum_jerk(100) + 0.1 * DOWN])
    assert sparc(halting) < smooth - 0.3
    assert sparc(np.repeat(smooth_start := minimum_jerk(2)[:1], 100, axis=0)) is None and len(smooth_start) == 1


def chunk(number, anchor, speed):
    rows = np.zeros((8, 6))
    rows[:, 0] = speed * 0.1 * np.arange(1, 9)
    return Chunk(
        session="s", sequence=number, goal="g", stamp_ns=number * 100_000_000,
        anchor=Pose(np.array([anchor, 0.0, 0.0]), np.eye(3)), dt_s=0.1, deltas=rows, aux=np.zeros(8), policy_id="p",
        status="", features_stamp_ns=0, force_stamp_ns=0, inference_s=0.0,
    )  # fmt: skip


def test_chunks_that_go_on_have_no_gap_and_those_that_change_their_mind_have_one():
    steady, wavering = Tracer(), Tracer()
    for number in range(3):
        steady.chunk(chunk(number, 0.001 * number, 0.01), 0)
    wavering.chunk(chunk(0, 0.0, 0.01), 0)
    wavering.chunk(chunk(1, 0.001, -0.01), 0)
    assert steady.gaps_m == pytest.approx([0.0, 0.0], abs=1e-12)
    assert wavering.gaps_m == pytest.approx([0.02 * 0.1 * np.arange(1, 8).mean()])


def ended(reason, depth=None, *, target=NAMED, peak=0.3, touched=(True, False, False), overshoot=0.0002):
    membrane = float(LAYOUT.membrane_depth_m[0])
    tip = TUBES[0].position - (membrane if depth is None else depth) * TUBES[0].rotation[:, 2]
    tubes = [TouchedTube(there, overshoot if there else 0.0) for there in touched]
    truth = Truth.measure(LAYOUT, TUBES, tip, tubes, target=target, time_s=9.0, force_n=0.1, peak_force_n=peak)
    return Episode(0, target, reason == "finished" and truth.success(), reason, 9.0, truth, 90, 0)


@pytest.mark.parametrize(
    ("episode", "expected"),
    [
        (ended("finished"), outcome.SUCCESS),
        (ended("finished", target=OTHER), outcome.WRONG_TARGET),
        (ended("time limit of 60 s", 0.001, target=OTHER, touched=(False,) * 3), outcome.WRONG_TARGET),
        (ended("finished", touched=(True, True, False)), outcome.WRONG_TARGET),
        (ended("finished", peak=2.5), outcome.FORCE),
        (ended("fault: the force is above its hard limit"), outcome.FORCE),
        (ended("fault: the robot went silent"), outcome.FAULT),
        (ended("finished", overshoot=0.0009), outcome.TOO_FAR),
        (ended("failed: no membrane", -0.01, touched=(False,) * 3), outcome.GAVE_UP),
        (ended("time limit of 60 s", -0.01, touched=(False,) * 3), outcome.TIME_LIMIT),
        (ended("finished", -0.01, touched=(False,) * 3), outcome.NOT_THERE),
    ],
)
def test_every_failure_has_its_reason(episode, expected):
    wrong = episode.truth.wrong_trocar()
    assert outcome.outcome_of(episode, wrong) == expected
    assert expected == outcome.SUCCESS or expected in outcome.FAILURES


def test_to_have_been_in_another_trocar_is_no_success_although_the_end_is_good():
    assert outcome.outcome_of(ended("finished"), OTHER) == outcome.WRONG_TARGET
