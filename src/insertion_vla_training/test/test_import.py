"""The verb `import`: what the lab's recordings hold arrives in a store, in SI units, on one clock, and nothing more."""

import io
import shutil

import h5py
import numpy as np
import pytest
from insertion_vla_core.contract import contract_hash
from insertion_vla_core.geometry import matrix_from_quaternion
from insertion_vla_core.observation import Missing
from insertion_vla_training.import_ import main
from insertion_vla_training.stores.offline import replay
from insertion_vla_training.stores.store import Store
from legacy_rig import (
    SECONDS,
    START_S,
    force_samples,
    image_times,
    jpeg,
    pen_rows,
    robot_rows,
    session,
    windows,
    write_dp_zarr,
    write_episode_folder,
    write_hdf5,
    write_images,
    write_moveit,
    write_recv_all,
    write_robot,
)
from PIL import Image

from insertion_vla_training import preprocess

NS = 1e9


def imported(folder, *arguments, code=0):
    """The store of what lies at `folder / "in"`."""
    bags, store = folder / "bags", folder / "store"
    assert main([str(folder / "in"), "--to", str(bags), *map(str, arguments)]) == code
    assert preprocess.main([str(bags), "--store", str(store), "--jobs", "1", "--alines", "f32"]) == 0
    return Store.open(store)


def turned(deg):
    """Rx(a) Ry(b) Rz(c), written out once more."""
    a, b, c = np.radians(deg)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two old folders, the second without force and without the fifth view; the sender's clock is 3.7 s ahead."""
    folder = tmp_path_factory.mktemp("lab")
    write_recv_all(folder / "in" / "recv_all_1", seed=1, sender_ahead_s=3.7)
    write_recv_all(folder / "in" / "recv_all_2", seed=2, force=False, view5=False)
    return imported(folder, "--instruction", "insert the needle", "--outcome", "success")


def test_robot_states_are_si_and_the_orientation_is_mobile_xyz(lab):
    joints, poses = session(round(SECONDS * 100))
    episode = lab.episode("recv_all_1")
    np.testing.assert_allclose(lab.stream("joints", episode).values, np.radians(joints), rtol=0, atol=1e-12)
    stored = lab.stream("tool_pose", episode).values
    np.testing.assert_allclose(stored[:, :3], poses[:, :3] / 1000.0, rtol=0, atol=1e-12)
    for row, pose in zip(stored, poses, strict=True):
        np.testing.assert_allclose(matrix_from_quaternion(row[3:]), turned(pose[3:]), atol=1e-9)


def test_the_offset_between_the_clocks_is_applied_to_the_stamps(lab):
    rows, measured = robot_rows(sender_ahead_s=3.7, seed=1)
    joints = lab.stream("joints", lab.episode("recv_all_1"))
    np.testing.assert_allclose(joints.receive / NS, [row[0] for row in rows], rtol=0, atol=1e-6)
    error_s = joints.stamps / NS - measured
    assert np.abs(error_s).max() < 0.01 and (joints.stamps <= joints.receive).all()
    noted = lab.metadata(lab.episode("recv_all_1")).parameters["import"]
    assert noted["robot_offset_s"] == pytest.approx(-3.7, abs=0.01)


def test_every_sample_of_force_has_its_stamp_and_placeholders_are_no_force(lab):
    stamps, forces, alines = force_samples(seed=1)
    episode = lab.episode("recv_all_1")
    stored = lab.stream("force_raw", episode)
    np.testing.assert_allclose(stored.stamps / NS, stamps, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(stored.values[:, 0], forces)
    np.testing.assert_array_equal(lab.alines(episode), alines)
    assert lab.contract.stream("force_raw").unit == "sensor units"


def test_what_was_not_recorded_stays_missing_in_the_same_store(lab):
    episode = lab.episode("recv_all_2")
    assert episode.counts["streams/force_raw"] == episode.counts["alines"] == episode.counts["images/view5"] == 0
    assert "No force" in episode.notes
    ticks = range(episode.start_ns + 300_000_000, episode.start_ns + 600_000_000, 100_000_000)
    for _, seen in replay(lab, episode, ticks):
        assert not isinstance(seen, Missing)
        force = seen.streams["force_raw"]
        assert not force.mask.any() and np.isnan(force.values).all()
    assert lab.chunks(episode)["stamps"].size == 0  # nothing was commanded, nothing is made of later poses


def test_images_keep_their_bytes_and_their_own_times(lab):
    episode = lab.episode("recv_all_1")
    for view, seed in (("view1_left", 1), ("view1_right", 1), ("view5", 2)):
        images = lab.images(view, episode)
        assert [images.blob(i) for i in range(len(images))] == [jpeg(seed * 1000 + k) for k in range(len(images))]
        np.testing.assert_allclose(images.stamps / NS, image_times(), rtol=0, atol=0.001)


def test_what_a_policy_sees_does_not_hold_what_was_commanded(lab):
    assert [stream.name for stream in lab.contract.observations] == ["joints", "tool_pose", "force_raw"]
    assert lab.contract.action.topic not in {stream.topic for stream in lab.contract.observations}
    assert lab.metadata(lab.episode("recv_all_1")).source == "import"
    episode = lab.episode("recv_all_1")
    assert (episode.instruction, episode.outcome) == ("insert the needle", "success")


def test_an_angle_that_passes_180_degrees_is_no_jump(tmp_path):
    folder = tmp_path / "in" / "recv_all_1"
    folder.mkdir(parents=True)
    rows, _ = robot_rows()
    angles = (179.0 + 0.05 * np.arange(len(rows)) + 180.0) % 360.0 - 180.0
    assert np.abs(np.diff(angles)).max() > 300.0
    still = rows[0]
    turning = [[*row[:4], *still[4:13], angle, *still[14:]] for row, angle in zip(rows, angles, strict=True)]
    write_robot(folder / "robot_state_1.csv", turning)
    store = imported(tmp_path)
    quaternions = store.stream("tool_pose", store.episodes()[0]).values[:, 3:]
    cosines = np.abs(np.sum(quaternions[1:] * quaternions[:-1], axis=1))
    assert np.degrees(2 * np.arccos(np.clip(cosines, 0, 1))).max() < 1.0


def test_forces_are_newtons_only_with_a_scale(tmp_path):
    write_recv_all(tmp_path / "in" / "recv_all_1", seed=1, seconds=0.6)
    store = imported(tmp_path, "--force-scale", 0.5, "--force-zero", -3.0)
    values = store.stream("force", store.episodes()[0]).values[:, 0]
    np.testing.assert_allclose(values, (force_samples(0.6, 1)[1] + 3.0) * 0.5, atol=1e-6)
    assert store.contract.stream("force").unit == "N"


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks")
    write_episode_folder(folder / "in" / "episode_1", seed=1)
    return imported(folder)


def test_samples_of_overlapping_windows_are_taken_once_each_with_its_own_stamp(blocks):
    stamps, forces, alines = force_samples(1.5, 1)
    times, _ = windows(stamps, forces, alines)
    covered = stamps <= times[-1] + 1e-9
    stored = blocks.stream("force_raw", blocks.episodes()[0])
    np.testing.assert_array_equal(stored.values[:, 0], forces[covered])
    np.testing.assert_allclose(stored.stamps / NS, stamps[covered], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(blocks.alines(blocks.episodes()[0]), alines[covered])


def test_no_window_sees_a_force_before_it_was_measured(tmp_path):
    folder = write_episode_folder(tmp_path / "in" / "episode_1", seed=1)
    stamps, forces, alines = force_samples(1.5, 1)
    spike = 800
    forces[spike] = 77.0
    times, data = windows(stamps, forces, alines)
    np.savez(folder / "sensor_data.npz", timestamps=times, data=data)
    store = imported(tmp_path)
    spike_ns = round(stamps[spike] * NS)
    before, after = spike_ns - 1_000_000, spike_ns + 30_000_000
    (_, early), (_, late) = replay(store, store.episodes()[0], [before, after])
    assert np.nanmax(early.streams["force_raw"].values) < 0.0
    assert np.nanmax(late.streams["force_raw"].values) == 77.0


def test_the_order_of_channels_is_said_and_kept(tmp_path, blocks):
    folder = write_episode_folder(tmp_path / "in" / "episode_1", seed=1)
    times, data = windows(*force_samples(1.5, 1))
    np.savez(folder / "sensor_data.npz", timestamps=times, data=np.roll(data, -1, axis=2))
    store = imported(tmp_path, "--force-channel", "last")
    episode = store.episodes()[0]
    expected = blocks.stream("force_raw", blocks.episodes()[0]).values
    np.testing.assert_array_equal(store.stream("force_raw", episode).values, expected)
    assert store.metadata(episode).parameters["import"]["force_channel"] == "last"


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hdf5")
    (folder / "in").mkdir()
    written = write_hdf5(folder / "in" / "episode_1.h5", seed=3, zeros=2)
    return imported(folder, "--rate-hz", 15, code=1), written  # the rows of zeros are reported


def test_hdf5_rows_are_spaced_evenly_and_zeros_of_an_unread_robot_are_missing(hdf5):
    store, (_, joints, _) = hdf5
    rows = store.stream("joints", store.episodes()[0])
    np.testing.assert_allclose(rows.values, np.radians(joints[2:].astype(np.float32)), atol=1e-7)
    np.testing.assert_allclose(np.diff(rows.stamps) / NS, 1 / 15, atol=1e-6)
    images = store.images("camera2", store.episodes()[0])
    assert [images.blob(i) for i in range(len(images))] == [jpeg(300 + 2000 + row) for row in range(20)]
    np.testing.assert_allclose(np.diff(images.stamps) / NS, 1 / 15, atol=1e-6)  # their own rate, none repeated


def test_hdf5_chunks_are_the_chained_commands(hdf5):
    store, (action, _, poses) = hdf5
    chunks = store.chunks(store.episodes()[0])
    assert len(chunks["stamps"]) == 20 - 8 + 1 - 2
    start = 5
    rotation, position = turned(poses[start, 3:]), poses[start, :3] / 1000.0
    anchor, origin = rotation, position
    for step, row in zip(action[start : start + 8].astype(np.float32), chunks["data"][start - 2], strict=True):
        position = position + rotation @ (step[:3] / 1000.0)
        rotation = rotation @ turned(step[3:])
        np.testing.assert_allclose(row[:3], position - origin, atol=1e-6)
        angle = np.linalg.norm(row[3:])
        cosine = (np.trace(rotation @ anchor.T) - 1) / 2
        assert np.cos(angle) == pytest.approx(cosine, abs=1e-6)


def test_hdf5_chunks_do_not_know_what_was_measured_later(tmp_path, hdf5):
    store, _ = hdf5
    (tmp_path / "in").mkdir()
    write_hdf5(tmp_path / "in" / "episode_1.h5", seed=3, zeros=2)
    with h5py.File(tmp_path / "in" / "episode_1.h5", "r+") as file:
        file["observations/ee_pose"][6:, :3] += 5.0
    other = imported(tmp_path, "--rate-hz", 15, code=1)
    same = slice(0, 4)  # rows 2 to 5
    expected = store.chunks(store.episodes()[0])["data"]
    np.testing.assert_array_equal(other.chunks(other.episodes()[0])["data"][same], expected[same])


def test_hdf5_with_images_and_sensor_at_the_top_is_the_same(tmp_path, hdf5):
    store, _ = hdf5
    (tmp_path / "in").mkdir()
    write_hdf5(tmp_path / "in" / "episode_1.h5", seed=3, zeros=2)
    with h5py.File(tmp_path / "in" / "episode_1.h5", "r+") as file:
        for name in ("images", "sensor"):
            file.move(f"observations/{name}", name)
    other = imported(tmp_path, "--rate-hz", 15, code=1)
    assert other.episodes()[0].counts == store.episodes()[0].counts
    forces = [each.stream("force_raw", each.episodes()[0]) for each in (store, other)]
    np.testing.assert_array_equal(forces[0].values, forces[1].values)
    expected = force_samples(2.0, 3)[1][: round(20 / 15 * 650)].astype(np.float16)
    np.testing.assert_array_equal(forces[0].values[:, 0], expected)
    assert np.diff(forces[0].stamps).std() < 1e3  # evenly spread, up to the rounding of doubles


def test_state_diffusion_zarr_and_moveit_arrive_row_by_row(tmp_path):
    (tmp_path / "in").mkdir()
    state, action = write_dp_zarr(tmp_path / "in" / "pen.zarr", (12, 9), seed=5)
    plan = write_moveit(tmp_path / "in" / "traj_007.npz", seed=8)
    store = imported(tmp_path)
    second = store.episode("pen_0001")
    np.testing.assert_array_equal(store.stream("joints", second).values, state[12:, :6])
    np.testing.assert_array_equal(store.stream("joint_speeds", second).values, state[12:, 6:12])
    np.testing.assert_array_equal(store.stream("tool_pose", second).values, state[12:, 12:19])
    np.testing.assert_array_equal(store.stream("pen_position", second).values, state[12:, 19:22])
    np.testing.assert_array_equal(store.stream("pen_axis", second).values, state[12:, 22:])
    np.testing.assert_array_equal(store.chunks(second)["data"][:, 0], action[12:])
    planned = store.episode("traj_007")
    np.testing.assert_array_equal(store.stream("tool_pose", planned).values, plan[:, 12:19])
    assert store.chunks(planned)["stamps"].size == 0 and "no commands" in planned.notes
    assert contract_hash(store.contract) == store.contract_hash


def test_actions_that_are_the_state_are_not_for_training(tmp_path):
    state, _ = pen_rows(12, 5)
    (tmp_path / "in").mkdir()
    write_dp_zarr(tmp_path / "in" / "pen.zarr", (12,), **{"data/state": state, "data/action": state[:, :6].copy()})
    episode = imported(tmp_path).episodes()[0]
    assert episode.bad and "learns to copy" in episode.reasons[0]


def test_a_second_run_imports_only_what_is_new(tmp_path, capsys):
    write_recv_all(tmp_path / "in" / "recv_all_1", seed=1, seconds=0.3, force=False)
    command = [str(tmp_path / "in"), "--to", str(tmp_path / "bags")]
    assert main(command) == 0
    write_recv_all(tmp_path / "in" / "deeper" / "recv_all_2", seed=2, seconds=0.3, force=False)
    assert main(command) == 0
    assert "imported 1 episodes" in (said := capsys.readouterr().out) and "1 were there already" in said
    shutil.copytree(tmp_path / "in" / "recv_all_1", tmp_path / "in" / "recv_all_copy")
    assert main(command) == 1
    assert "duplicate of recv_all_1" in (said := capsys.readouterr().err) and "remove one of the two" in said
    assert sorted(path.name for path in (tmp_path / "bags").iterdir()) == ["recv_all_1", "recv_all_2"]


def test_pictures_of_a_real_camera_pass_unchanged(tmp_path):
    folder = write_recv_all(tmp_path / "in" / "recv_all_1", seconds=0.3, force=False)
    stream = io.BytesIO()
    Image.new("RGB", (640, 360), (9, 99, 199)).save(stream, "JPEG", progressive=True, exif=b"Exif\0\0" + bytes(40))
    shutil.rmtree(folder / "View5")
    write_images(folder / "View5", "OAK_{:.3f}.jpg", 7, 0.3)
    (folder / "View5" / f"OAK_{START_S + 0.1:.3f}.jpg").write_bytes(stream.getvalue())
    store = imported(tmp_path)
    assert stream.getvalue() in [store.images("view5", store.episodes()[0]).blob(i) for i in range(2)]
