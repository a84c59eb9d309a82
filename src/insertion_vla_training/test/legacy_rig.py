"""Recordings in the lab's formats, byte for byte as its recorders wrote them, with poses of a real session."""

import csv
import io
import itertools
import json
from pathlib import Path

import h5py
import numpy as np
import zarr
from numcodecs import Blosc
from PIL import Image

SESSION = Path(__file__).parents[2] / "insertion_vla_core" / "test" / "data" / "meca500_session.csv"
START_S = 1_762_929_988.25
SECONDS = 1.2
ROBOT_HEAD = [
    "recv_timestamp", "origin_timestamp", "send_timestamp", "force_placeholder",
    *(f"joint_{i}" for i in range(1, 7)), "pose_x", "pose_y", "pose_z", "pose_a", "pose_b", "pose_r",
]  # fmt: skip
FORCE_BASE = -3.0


def session(count):
    """Joints [deg] and poses [mm, deg] of the real session, (count, 6) each."""
    with SESSION.open(newline="") as stream:
        rows = list(itertools.islice(csv.DictReader(stream), count))
    joints = np.array([[float(row[f"joint_{i}_deg"]) for i in range(1, 7)] for row in rows])
    names = ("x_mm", "y_mm", "z_mm", "alpha_deg", "beta_deg", "gamma_deg")
    return joints, np.array([[float(row[name]) for name in names] for row in rows])


def jpeg(seed, width=64, height=48):
    """A small real picture."""
    rng = np.random.default_rng(seed)
    pixels = np.kron(rng.integers(0, 256, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def robot_rows(seconds=SECONDS, sender_ahead_s=0.0, seed=0):
    """Rows of a robot_state CSV at 100 Hz, whose sender's clock is ahead of the receiver's."""
    rng = np.random.default_rng(seed)
    count = round(seconds * 100)
    joints, poses = session(count)
    measured = START_S + np.arange(count) / 100.0
    received = measured + 0.002 + rng.exponential(0.001, count)
    received = np.maximum.accumulate(received)
    rows = [
        [received[k], measured[k] + sender_ahead_s, measured[k] + 0.001 + sender_ahead_s, 0.0, *joints[k], *poses[k]]
        for k in range(count)
    ]
    return rows, measured


def write_robot(path, rows, head=ROBOT_HEAD):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows(rows)


def force_samples(seconds=SECONDS, seed=0, rate_hz=650.0):
    """Stamps (n,), forces (n,) and A-lines (n, 1025) as the sensor sends them."""
    rng = np.random.default_rng(seed + 100)
    count = round(seconds * rate_hz)
    stamps = START_S + np.arange(count) / rate_hz
    forces = (FORCE_BASE + 0.02 * rng.normal(size=count)).astype(np.float32)
    alines = (50 + 45 * rng.normal(size=(count, 1025))).astype(np.float32)
    return stamps, forces, alines


def image_times(seconds=SECONDS):
    return [START_S + 0.05 + k / 5.0 for k in range(int(seconds * 5))]


def write_images(folder, pattern, seed, seconds=SECONDS):
    folder.mkdir(parents=True)
    for k, time_s in enumerate(image_times(seconds)):
        (folder / pattern.format(time_s)).write_bytes(jpeg(seed * 1000 + k))


def write_recv_all(folder, seed=0, sender_ahead_s=0.0, seconds=SECONDS, force=True, view5=True):
    """The old layout."""
    folder.mkdir(parents=True)
    rows, _ = robot_rows(seconds, sender_ahead_s, seed)
    write_robot(folder / "robot_state_20251112_153428.csv", rows)
    if force:
        stamps, forces, alines = force_samples(seconds, seed)
        np.savez(
            folder / "sensor_data_20251112_153428.npz",
            timestamps=stamps, send_timestamps=stamps + 0.0005, forces=forces, alines=alines,
        )  # fmt: skip
    for side in ("left", "right"):
        write_images(folder / "View1" / side, "zed_41182735_left_{:.3f}.jpg", seed, seconds)
    if view5:
        write_images(folder / "View5", "OAK_{:.3f}.jpg", seed + 1, seconds)
    return folder


def windows(stamps, forces, alines, every=130):
    """Windows of 650 samples cut every 0.2 s, each stamped with its newest sample, force in front."""
    ends = range(650, len(stamps) + 1, every)
    rows = np.concatenate([forces[:, None], alines], axis=1)
    return np.array([stamps[end - 1] for end in ends]), np.stack([rows[end - 650 : end] for end in ends])


def write_episode_folder(folder, seed=0, seconds=1.5):
    """The new layout."""
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({"episode_name": folder.name, "sensor_hz": 650}))
    write_robot(folder / "robot_states.csv", robot_rows(seconds, 0.0, seed)[0])
    times, data = windows(*force_samples(seconds, seed))
    np.savez(folder / "sensor_data.npz", timestamps=times, data=data)
    write_images(folder / "images" / "View1", "{:.6f}.jpg", seed, seconds)
    return folder


def write_hdf5(path, steps=20, seed=0, rate_hz=15.0, force=True, zeros=0):
    """A v4 file; the first `zeros` rows were written before the robot was read."""
    rng = np.random.default_rng(seed)
    joints, poses = session(steps)
    joints[:zeros], poses[:zeros] = 0.0, 0.0
    action = rng.normal(size=(steps, 6)) * [0.4, 0.4, 0.4, 0.2, 0.2, 0.2]
    with h5py.File(path, "w") as file:
        file["action"] = action.astype(np.float32)
        file["timestamp"] = (START_S + np.arange(steps) / rate_hz).astype(np.float32)
        file["observations/qpos"] = joints.astype(np.float32)
        file["observations/ee_pose"] = poses.astype(np.float32)
        for camera in (1, 2):
            data = file.create_dataset(f"observations/images/camera{camera}", (steps,), h5py.vlen_dtype(np.uint8))
            for row in range(steps):
                data[row] = np.frombuffer(jpeg(seed * 100 + camera * 1000 + row), np.uint8)
        if force:
            count = round(steps / rate_hz * 650)
            _, forces, alines = force_samples(2.0, seed)
            file["observations/sensor/force"] = forces[:count].astype(np.float16)
            file["observations/sensor/aline"] = alines[:count].astype(np.float16)
    return action, joints, poses


def pen_rows(steps, seed=0):
    """States (T, 25) and actions (T, 6) as the converter of the pen data makes them."""
    rng = np.random.default_rng(seed)
    joints = np.cumsum(rng.normal(size=(steps + 1, 6)) * 0.01, axis=0)
    turn = rng.normal(size=(steps, 4))
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    pen = np.tile(rng.normal(size=6), (steps, 1))
    state = np.concatenate(
        [joints[:-1], np.diff(joints, axis=0) * 10.0, rng.normal(size=(steps, 3)), turn, pen], axis=1
    )
    return state.astype(np.float32), joints[1:].astype(np.float32)


def write_dp_zarr(path, lengths=(12, 9), seed=0, **changes):
    """A DP-style data set; `changes` replace its arrays."""
    parts = [pen_rows(length, seed + i) for i, length in enumerate(lengths)]
    arrays = {
        "data/state": np.concatenate([state for state, _ in parts]),
        "data/action": np.concatenate([action for _, action in parts]),
        "meta/episode_ends": np.cumsum(lengths).astype(np.int64),
        **changes,
    }
    root = zarr.create_group(str(path), zarr_format=2)
    for name, values in arrays.items():
        chunks = (1000, *values.shape[1:])
        array = root.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=chunks, compressors=Blosc("zstd")
        )
        array[:] = values
    return arrays["data/state"], arrays["data/action"]


def write_moveit(path, steps=15, seed=0, **changes):
    """A MoveIt trajectory."""
    state, _ = pen_rows(steps, seed)
    arrays = {
        "joint_positions": state[:, :6], "joint_velocities": state[:, 6:12], "timestamps": np.arange(steps) * 0.1,
        "ee_poses_world": state[:, 12:19], "pen_position": state[0, 19:22], "pen_axis": state[0, 22:25], **changes,
    }  # fmt: skip
    np.savez(path, **arrays)
    return state
