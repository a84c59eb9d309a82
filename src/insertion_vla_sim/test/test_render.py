import subprocess
import sys

import mujoco
import numpy as np
import pytest
import yaml
from bench_moves import advance, before_tube, place
from insertion_vla_core.calibration import load_calibration
from insertion_vla_sim.calibration import calibration_text
from insertion_vla_sim.render import make_renderer
from insertion_vla_sim.world import World

from insertion_vla_sim import scene

SHADOW_SEED = 2  # the hand camera sees both ends of the eye's shadow there
HUE = {"red": 0, "green": 1, "blue": 2}


@pytest.fixture(scope="module")
def rays():
    return make_renderer(None, "rays")


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "sim.yaml"
    path.write_text(calibration_text())
    return load_calibration(path).cameras


def pixel(image, cameras, view, point, world):
    u, v = cameras[view].project(point, world.flange_pose)
    assert -0.5 <= u <= scene.IMAGE_WIDTH - 0.5 and -0.5 <= v <= scene.IMAGE_HEIGHT - 0.5, f"{view}: {u:.0f}, {v:.0f}"
    return image[round(float(v)), round(float(u))].astype(int)


@pytest.mark.parametrize("view", ["front", "side"])
@pytest.mark.parametrize("seed", [1, 2, 5, 11])
def test_known_points_have_their_colours_in_the_static_views(rays, cameras, view, seed):
    world = World(seed)
    image = rays.render(view, world.render_state())
    camera = cameras[view].in_base(world.flange_pose).position
    for tube, colour in enumerate(world.layout.colours):
        mouth = world.tube_pose(tube)
        out = mouth.rotation[:, 2]
        assert pixel(image, cameras, view, mouth.position + 0.0002 * out, world).max() < 40, "the mouth is dark"
        # The point of the barrel's upper edge that is nearest to the camera is never hidden.
        towards = camera - mouth.position
        towards -= (towards @ out) * out
        towards /= np.linalg.norm(towards)
        skin = pixel(image, cameras, view, mouth.position - 0.0015 * out + 0.003 * towards, world)
        assert skin.argmax() == HUE[colour] and skin.max() > 2 * np.delete(skin, HUE[colour]).max()


def test_all_tubes_are_seen_with_enough_pixels_from_all_static_views(rays):
    for seed in range(6):
        state = World(seed).render_state()
        for view in ("front", "side"):
            image = rays.render(view, state).astype(int)
            for channel in range(3):
                others = np.delete(image, channel, axis=2).max(axis=2)
                assert (image[..., channel] > 2 * others + 20).sum() > 120, (seed, view, channel)


def test_hand_view_sees_tip_and_what_is_ahead(rays, cameras):
    world = World(2)
    tube = world.layout.colours.index("green")
    place(world, before_tube(world, tube, -0.010))
    image = rays.render("hand", world.render_state())
    tip = cameras["hand"].project(world.tool_pose.position, world.flange_pose)
    assert 0 < tip[0] < 320 and 0 < tip[1] < 180
    needle = pixel(image, cameras, "hand", world.tool_pose.apply([0.0, 0.0, -0.004]), world)
    assert np.ptp(needle) < 25, "steel is grey"
    rim = pixel(image, cameras, "hand", world.tube_pose(tube).apply([0.0022, 0.0, 0.0]), world)
    other = pixel(image, cameras, "hand", world.tube_pose(tube).apply([-0.0022, 0.0, 0.0]), world)
    assert rim.argmax() == 1 or other.argmax() == 1


def test_the_needle_casts_its_picture_where_it_is(rays, cameras):
    near, far = World(2), World(2)
    place(near, before_tube(near, 0, -0.006))
    place(far, before_tube(far, 0, -0.060))
    changed = np.abs(
        rays.render("front", near.render_state()).astype(int) - rays.render("front", far.render_state())
    ).sum(axis=2)
    u, v = cameras["front"].project(near.tool_pose.apply([0.0, 0.0, -0.005]), near.flange_pose)
    assert changed[round(float(v)), round(float(u))] > 30


def test_lattice_is_what_one_ray_per_pixel_gives(rays):
    for view in scene.VIEWS:
        state = World(5).render_state()
        image = rays.render(view, state).astype(int)
        model = rays._scene
        origin = model.data.cam_xpos[model.camera_id(view)]
        directions = rays._pixel_rays(view)[:-1, :-1] @ model.data.cam_xmat[model.camera_id(view)].reshape(3, 3).T
        colour, _, _ = rays._tracer.see(origin, directions.reshape(-1, 3), np.zeros(len(directions) * 320, bool))
        full = (np.clip(colour, 0.0, 1.0) * 255.0 + 0.5).astype(int).reshape(image.shape)
        difference = np.abs(image - full).max(axis=2)
        assert (difference > 12).mean() < 0.003 and difference.mean() < 0.5


def test_membrane_is_invisible(rays):
    world = World(5)
    before = [rays.render(view, world.render_state()) for view in scene.VIEWS]
    world.layout.membrane_depth_m[:] = 0.0031
    assert all(
        np.array_equal(a, rays.render(v, world.render_state())) for a, v in zip(before, scene.VIEWS, strict=True)
    )


def test_pushed_eye_moves_in_the_image(rays):
    world = World(5)
    place(world, before_tube(world, 0, -0.0002, 0.0022))
    before = rays.render("front", world.render_state()).astype(int)
    advance(world, 0.0015, 0.002)
    tubes = np.abs(rays.render("front", world.render_state()).astype(int) - before).sum(axis=2) > 60
    assert tubes.sum() > 100


def test_one_renderer_follows_any_world(rays):
    first, second = World(1), World(2)
    a = rays.render("front", first.render_state())
    b = rays.render("front", second.render_state())
    assert np.abs(a.astype(int) - b).mean() > 5.0
    assert np.array_equal(a, rays.render("front", first.render_state()))
    heldout = rays.render("front", World(1, "heldout").render_state())
    assert not np.array_equal(a, heldout)


def test_image_is_lit_and_shadowed(rays):
    image = rays.render("front", World(1).render_state())
    assert image.shape == (180, 320, 3) and image.dtype == np.uint8
    assert image.max() > 200 and image.min() < 40 and image.std() > 20.0


def test_the_eyes_shadow_lies_where_the_lamp_says(rays, cameras):
    world = World(SHADOW_SEED)
    layout = world.layout
    lamp, eye = layout.lamp_position_m, layout.mount_position_m
    spot = lamp + (eye - lamp) * (lamp[2] - 0.001) / (lamp[2] - eye[2])
    image = rays.render("hand", world.render_state())
    ambient = layout.mat_rgb * (layout.ambient + 0.18) * 255.0
    assert (pixel(image, cameras, "hand", spot, world) <= ambient + 3.0).all()
    assert (pixel(image, cameras, "hand", spot + [0.03, 0.0, 0.0], world) > 1.3 * ambient).all()


def test_wrong_names_and_states_are_refused(rays):
    state = World(1).render_state()
    with pytest.raises(ValueError, match="camera must be one of front, side, hand, got 'top'"):
        rays.render("top", state)
    with pytest.raises(ValueError, match="15 finite numbers"):
        rays.render("front", state[:-1])
    with pytest.raises(ValueError, match="backend must be one of"):
        make_renderer(None, "vulkan")


RENDER_INTO_FILE = """
import sys
import numpy as np
from insertion_vla_sim import scene
from insertion_vla_sim.render import GlRenderer
from insertion_vla_sim.world import World
try:
    opengl = GlRenderer(sys.argv[1], scene.scene_xml(), scene.IMAGE_WIDTH, scene.IMAGE_HEIGHT)
except ValueError as error:
    sys.exit(str(error))
state = World(2).render_state()
np.save(sys.argv[2], np.stack([opengl.render(view, state) for view in scene.VIEWS]))
opengl.close()
"""


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_opengl_shows_the_same_scene_where_it_is_installed(rays, backend, tmp_path):
    # A process of its own: PyOpenGL serves one platform per process.
    command = [sys.executable, "-c", RENDER_INTO_FILE, backend, str(tmp_path / "images.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        assert "Use backend 'rays'" in done.stderr, done.stderr
        pytest.skip(done.stderr.strip())
    state = World(2).render_state()
    for view, image in zip(scene.VIEWS, np.load(tmp_path / "images.npy"), strict=True):
        a, b = rays.render(view, state).astype(int), image.astype(int)
        assert np.abs(a - b).mean() < 25.0
        strong = np.abs(a - b).max(axis=2) > 70
        assert strong.mean() < 0.03, "outlines and shadows fall on the same pixels"


def test_calibration_is_the_worlds(cameras):
    world = World(7)
    content = yaml.safe_load(calibration_text())
    assert list(content["views"]) == list(scene.VIEWS)
    assert np.allclose(content["tool"]["position"], [0.0, 0.0, scene.TOOL_LENGTH_M])
    for view in scene.VIEWS:
        camera = world.model.camera(view).id
        mujoco.mj_camlight(world.model, world.data)
        pose = cameras[view].in_base(world.flange_pose)
        assert np.allclose(pose.position, world.data.cam_xpos[camera], atol=1e-8)
        optical = world.data.cam_xmat[camera].reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
        assert np.allclose(pose.rotation, optical, atol=1e-8)
