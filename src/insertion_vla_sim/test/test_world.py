import numpy as np
import pytest
from bench_moves import ARM, TOOL, advance, before_tube, place
from insertion_vla_core.kinematics import NoSolution, forward, inverse, twist_to_joint_rates
from insertion_vla_sim.randomise import draw_layout
from insertion_vla_sim.world import World

from insertion_vla_sim import scene


def wander(world: World, steps: int) -> np.ndarray:
    """Random joint rates; everything that the world shows at each step."""
    rng = np.random.default_rng(5)
    states = []
    for _ in range(steps):
        world.step(rng.normal(0.0, 0.2, 6))
        states.append(np.concatenate([world.q, world.render_state(), [world.axial_force_n]]))
    return np.array(states)


def test_same_seed_same_episode_bit_for_bit_also_after_other_seeds():
    fresh, used = World(4), World(9)
    place(used, before_tube(used, 0, -0.0002, 0.0022))
    advance(used, 0.001, 0.002)
    assert used.axial_force_n > 0.1
    used.reset(4)
    assert used.truth().as_dict() == fresh.truth().as_dict()
    assert np.array_equal(wander(fresh, 200), wander(used, 200))


def test_other_seed_other_episode():
    assert not np.array_equal(World(4).render_state()[3:], World(5).render_state()[3:])
    train, heldout = draw_layout(4, "train"), draw_layout(4, "heldout")
    assert not np.array_equal(train.mount_position_m, heldout.mount_position_m)
    assert not train.camera_shift_m.any() and heldout.camera_shift_m.any()


@pytest.mark.parametrize("seed", [-1, 2**53, 1.5, True, "7"])
def test_a_wrong_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be"):
        World(seed)


def test_arm_is_the_meca500_of_core():
    world, rng = World(1), np.random.default_rng(0)
    for _ in range(20):
        world.place(rng.uniform(ARM.lower_rad, ARM.upper_rad).clip(-3.0, 3.0))
        flange, tip = forward(ARM, world.q), forward(ARM, world.q) @ TOOL
        assert np.allclose(world.flange_pose.position, flange.position, atol=1e-9)
        assert np.allclose(world.flange_pose.rotation, flange.rotation, atol=1e-9)
        assert np.allclose(world.tool_pose.position, tip.position, atol=1e-9)


def test_time_advances_by_one_force_sample():
    world = World(1)
    for _ in range(650):
        world.step(np.zeros(6))
    assert world.time_s == pytest.approx(1.0, abs=1e-12)
    assert world.data.time == pytest.approx(1.0, abs=1e-9)


def test_commanded_velocity_is_reached_and_stops_within_25_ms():
    world = World(2)
    direction = np.array([0.3, 0.2, 0.9]) / np.linalg.norm([0.3, 0.2, 0.9])
    start = world.tool_pose.position
    for _ in range(200):
        world.step(twist_to_joint_rates(ARM, world.q, np.concatenate([0.02 * direction, np.zeros(3)]), TOOL))
    before = world.tool_pose.position
    world.step(twist_to_joint_rates(ARM, world.q, np.concatenate([0.02 * direction, np.zeros(3)]), TOOL))
    velocity = (world.tool_pose.position - before) * 650.0
    assert np.allclose(velocity, 0.02 * direction, atol=2e-4)
    travelled = world.tool_pose.position - start
    assert np.linalg.norm(travelled - (travelled @ direction) * direction) < 5e-5
    samples = 0
    while np.abs(world.dq).max() > 0.0:
        world.step(np.zeros(6))
        samples += 1
    assert 3 <= samples <= 16  # 5 to 25 ms: it can neither stop at once nor coast


def test_joint_limits_stop_the_joint():
    world = World(1)
    for _ in range(2000):
        world.step(np.array([0.0, 0.0, 0.0, 0.0, 2.0, 0.0]))
    assert scene.JOINT_UPPER_RAD[4] - 0.01 < world.q[4] <= scene.JOINT_UPPER_RAD[4] + 1e-3
    assert abs(world.dq[4]) < 0.01


@pytest.mark.parametrize("bad", [np.full(6, np.nan), np.zeros(5), [np.inf, 0, 0, 0, 0, 0]])
def test_a_command_that_is_not_six_finite_rates_is_refused(bad):
    with pytest.raises(ValueError, match="six finite"):
        World(1).step(np.asarray(bad))


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_every_tube_is_reachable_and_every_membrane_in_range(seed):
    world = World(seed)
    for tube in range(scene.TUBE_COUNT):
        q = world.q
        for depth in (-0.030, 0.0, 0.011):
            try:
                q = inverse(ARM, before_tube(world, tube, depth) @ TOOL.inverse(), q)
            except NoSolution as error:
                pytest.fail(f"seed {seed} tube {tube} depth {depth}: {error}")
        assert 0.003 <= world.layout.membrane_depth_m[tube] <= 0.011
    assert sorted(world.layout.colours) == sorted(scene.COLOURS)


def test_free_motion_feels_nothing():
    assert np.abs(advance(World(3), 0.02, 0.02)).max() < 1e-9


@pytest.mark.parametrize("sideways", [0.0, 0.0005, 0.0009])
def test_aligned_needle_slides_in_almost_without_force(sideways):
    world = World(3)
    place(world, before_tube(world, 0, -0.001, sideways))
    depth = float(world.layout.membrane_depth_m[0])
    assert advance(world, 0.001 + depth - 0.0002, 0.002).max() < 0.05
    assert world.truth(world.layout.colours[0]).aim.inside


def test_misaligned_contact_is_soft_and_felt_early():
    world = World(3)
    place(world, before_tube(world, 0, -0.0005, 0.0022))
    forces = advance(world, 0.0025, 0.002)
    felt_m = np.argmax(forces > 0.1) / 650.0 * 0.002 - 0.0005
    assert 0.0 < felt_m < 0.0003
    assert 1.0 < forces.max() < 3.0  # 2 mm pushed on: newtons, not tens of them
    assert world.truth(world.layout.colours[0]).aim.tip_depth_m < 0.0005
    assert not np.allclose(world.render_state()[-6:], 0.0, atol=1e-5)  # the eye gave way


def test_membrane_pushes_back_like_a_spring():
    world = World(5)
    place(world, before_tube(world, 0, 0.001))
    colour = world.layout.colours[0]
    assert not world.truth(colour).aim.touched
    while world.truth(colour).aim.overshoot_m < 0.0002:
        advance(world, 0.00005, 0.002)
    assert 0.10 < world.axial_force_n < 0.20
    while world.truth(colour).aim.overshoot_m < 0.0005:
        advance(world, 0.00005, 0.002)
    assert 0.30 < world.axial_force_n < 0.50
    assert world.truth(colour).aim.touched
    assert not any(t.touched for name, t in world.truth().trocars.items() if name != colour)


def test_membrane_pressed_off_centre_tilts_the_eye():
    world = World(5)
    place(world, before_tube(world, 0, 0.001, 0.0009))
    advance(world, float(world.layout.membrane_depth_m[0]), 0.002)
    assert 0.3 < world.axial_force_n < 1.0
    assert np.abs(world.render_state()[-3:]).max() > 5e-4


def test_eye_comes_back_when_the_needle_leaves():
    world = World(5)
    place(world, before_tube(world, 1, 0.001))
    advance(world, 0.011, 0.004)
    assert np.abs(world.render_state()[-6:]).max() > 1e-4
    place(world, before_tube(world, 1, -0.02))
    for _ in range(650):
        world.step(np.zeros(6))
    assert np.abs(world.render_state()[-6:]).max() < 1e-5
    assert world.axial_force_n == 0.0
