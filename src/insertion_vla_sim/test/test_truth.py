import json

import numpy as np
import pytest
from bench_moves import advance, before_tube, place
from insertion_vla_core.geometry import Pose, exp_so3
from insertion_vla_sim.randomise import draw_layout
from insertion_vla_sim.truth import TouchedTube, Truth
from insertion_vla_sim.world import World

LAYOUT = draw_layout(0)
TUBES = [Pose(np.array([0.2, 0.02 * i, 0.07]), exp_so3(np.array([0.1 * i, 0.2, 0.0]))) for i in range(3)]
TOUCHED = [TouchedTube(True, 0.0003), TouchedTube(), TouchedTube()]


def truth_at(depth, sideways, *, peak=0.3, target=LAYOUT.colours[0], touched=TOUCHED):
    tube = TUBES[0]
    tip = tube.position - depth * tube.rotation[:, 2] + sideways * tube.rotation[:, 1]
    return Truth.measure(
        LAYOUT, TUBES, tip, touched, target=target, time_s=1.0, force_n=0.1, peak_force_n=peak
    )  # fmt: skip


def membrane():
    return float(LAYOUT.membrane_depth_m[0])


@pytest.mark.parametrize("past", [-0.0002, 0.0, 0.0003, 0.00049])
def test_success_near_the_membrane(past):
    truth = truth_at(membrane() + past, 0.0005)
    assert truth.success()
    assert truth.overshoot_m == pytest.approx(past, abs=1e-9)
    assert truth.lateral_m == pytest.approx(0.0005, abs=1e-9)
    assert truth.tip_depth_m == pytest.approx(membrane() + past, abs=1e-9)


def test_overshoot_is_no_success():
    assert not truth_at(membrane() + 0.00051, 0.0).success()


def test_going_too_far_at_any_time_is_no_success():
    gone_back = [TouchedTube(True, 0.00051), TouchedTube(), TouchedTube()]
    assert not truth_at(membrane() + 0.0001, 0.0, touched=gone_back).success()


def test_a_needle_that_was_drawn_back_is_not_at_depth():
    assert truth_at(membrane() - 0.00049, 0.0).success()
    assert not truth_at(membrane() - 0.00051, 0.0).success()
    assert not truth_at(0.001, 0.0).success()


def test_beside_the_bore_is_no_success():
    assert not truth_at(membrane(), 0.0016).success()


def test_outside_the_mouth_is_no_success():
    assert not truth_at(-0.001, 0.0).success()


def test_too_much_force_at_any_time_is_no_success():
    assert truth_at(membrane(), 0.0, peak=2.0).success()
    assert not truth_at(membrane(), 0.0, peak=2.01).success()


def test_untouched_membrane_is_no_success():
    assert not truth_at(membrane(), 0.0, touched=[TouchedTube()] * 3).success()


def test_the_wrong_tube_is_no_success():
    assert not truth_at(membrane(), 0.0, target=LAYOUT.colours[1]).success()
    assert truth_at(membrane(), 0.0, target=LAYOUT.colours[1]).success(LAYOUT.colours[0])


def test_the_named_tube_is_never_the_wrong_one():
    assert truth_at(membrane(), 0.0).wrong_trocar() is None
    assert truth_at(-0.001, 0.0, touched=[TouchedTube()] * 3).wrong_trocar() is None


def test_a_tip_in_another_bore_is_in_the_wrong_trocar_before_it_touches():
    inside = truth_at(0.001, 0.0, target=LAYOUT.colours[1], touched=[TouchedTube()] * 3)
    assert inside.wrong_trocar() == LAYOUT.colours[0]
    above = truth_at(-0.001, 0.0, target=LAYOUT.colours[1], touched=[TouchedTube()] * 3)
    assert above.wrong_trocar() is None


def test_a_membrane_that_was_touched_elsewhere_stays_wrong():
    both = [TouchedTube(True, 0.0003), TouchedTube(True, 0.0001), TouchedTube()]
    truth = truth_at(membrane(), 0.0, touched=both)
    assert truth.wrong_trocar() == LAYOUT.colours[1]
    assert not truth.success()


def test_an_unknown_colour_is_refused():
    with pytest.raises(ValueError, match="target must be one of blue, green, red, got 'pink'"):
        World(0).truth("pink")


def test_world_reports_a_real_insertion_and_json_takes_it():
    world = World(8)
    tube = world.layout.colours.index(world.layout.target)
    place(world, before_tube(world, tube, 0.0005))
    advance(world, float(world.layout.membrane_depth_m[tube]) - 0.0002, 0.002)
    truth = world.truth()
    assert truth.success() and truth.contact and 0.0 < truth.overshoot_m < 0.0005
    assert np.allclose(truth.aim.axis, -world.tube_pose(tube).rotation[:, 2])
    said = json.loads(json.dumps(truth.as_dict()))
    assert said["success"] is True
    assert set(said["trocars"]) == {"red", "green", "blue"}
    assert said["trocars"][truth.target]["membrane_depth_m"] == float(world.layout.membrane_depth_m[tube])
