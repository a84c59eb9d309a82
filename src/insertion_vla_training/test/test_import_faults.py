"""What goes wrong with `import`: a sentence with a remedy, exit code 1, the rest done, no pickle ever run."""

import json
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_training.bags import BagReader
from insertion_vla_training.import_ import main
from insertion_vla_training.importers.safe_files import jpeg_size
from legacy_rig import (
    ROBOT_HEAD,
    START_S,
    force_samples,
    jpeg,
    robot_rows,
    write_dp_zarr,
    write_episode_folder,
    write_hdf5,
    write_moveit,
    write_recv_all,
    write_robot,
)

SECONDS = 0.4


class Payload:
    """Unpickling it leaves a mark."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return (open, (self.mark, "w"))


def run(folder, *arguments):
    return main([str(folder / "in"), "--to", str(folder / "bags"), *map(str, arguments)])


def robot_csv(folder):
    return next(folder.glob("robot_state_*.csv"))


def force_npz(folder):
    return next(folder.glob("sensor_data_*.npz"))


def cut(path, keep=0.6):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def cut_force(folder):
    cut(force_npz(folder))


def no_robot(folder):
    robot_csv(folder).unlink()


def other_columns(folder):
    write_robot(robot_csv(folder), [[1.0, 2.0]], head=["time", "x"])


def no_csv(folder):
    robot_csv(folder).write_bytes(bytes(range(128, 256)) * 20)


def metres(folder):
    rows, _ = robot_rows(SECONDS)
    write_robot(robot_csv(folder), [[*row[:10], *(np.array(row[10:13]) / 1000.0), *row[13:]] for row in rows])


def receiver_set_back(folder):
    rows, _ = robot_rows(SECONDS)
    write_robot(robot_csv(folder), [[row[0] - 2.0 * (k > 20), *row[1:]] for k, row in enumerate(rows)])


def sender_set(folder):
    rows, _ = robot_rows(1.2)
    write_robot(
        robot_csv(folder), [[row[0], *(np.array(row[1:3]) + 2.0 * (k > 60)), *row[3:]] for k, row in enumerate(rows)]
    )


def sensor_set_back(folder):
    stamps, forces, alines = force_samples(SECONDS)
    stamps[100:] -= 0.5
    np.savez(force_npz(folder), timestamps=stamps, send_timestamps=stamps, forces=forces, alines=alines)


def sensor_of_another_clock(folder):
    stamps, forces, alines = force_samples(SECONDS)
    np.savez(force_npz(folder), timestamps=stamps - 1e6, send_timestamps=stamps - 1e6, forces=forces, alines=alines)


def unequal_force(folder):
    stamps, forces, alines = force_samples(SECONDS)
    np.savez(force_npz(folder), timestamps=stamps, send_timestamps=stamps, forces=forces[:-1], alines=alines)


def other_force(folder):
    np.savez(force_npz(folder), hello=np.zeros(3))


def wide_alines(folder):
    stamps, forces, alines = force_samples(SECONDS)
    np.savez(force_npz(folder), timestamps=stamps, send_timestamps=stamps, forces=forces, alines=alines[:, :512])


REFUSED = {
    cut_force: ("is cut off or no .npz file", "copy it again, or remove it"),
    no_robot: ("expected one file of robot states", "copy the missing one"),
    other_columns: ("missing are recv_timestamp", "another recorder"),
    no_csv: ("got other bytes", "copy it again"),
    metres: ("expected positions in mm", "are they metres"),
    receiver_set_back: ("clock was set back by", "cut the episode there"),
    sender_set: ("a clock was set near row", "synchronised clocks"),
    sensor_set_back: ("timestamps: a clock was set back by 0.4", "cut the episode there"),
    sensor_of_another_clock: ("another clock", "--sensor-offset-s"),
    unequal_force: ("expected arrays of equal length", "copy it again, or remove it"),
    other_force: ("expected arrays timestamps", "another recorder"),
    wide_alines: ("expected n x 1025 numbers", "another recorder"),
}


@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: fault.__name__)
def test_a_faulty_episode_is_refused_with_a_remedy_and_the_rest_is_done(tmp_path, capsys, fault):
    fault(write_recv_all(tmp_path / "in" / "recv_all_1", seconds=SECONDS, view5=False))
    write_recv_all(tmp_path / "in" / "recv_all_2", seed=2, seconds=SECONDS, force=False, view5=False)
    assert run(tmp_path) == 1
    said = capsys.readouterr()
    assert all(text in said.err for text in REFUSED[fault]) and "recv_all_1" in said.err
    assert "imported 1 episodes" in said.out and "1 problems" in said.out
    assert [path.name for path in (tmp_path / "bags").iterdir()] == ["recv_all_2"]


def row_cut_off(folder):
    cut(robot_csv(folder), 0.995)


def row_of_nan(folder):
    rows, _ = robot_rows(SECONDS)
    rows[7][5] = float("nan")
    write_robot(robot_csv(folder), rows)


def unread_robot(folder):
    rows, _ = robot_rows(SECONDS)
    write_robot(robot_csv(folder), [[*row[:4], *([0.0] * 12)] if k < 3 else row for k, row in enumerate(rows)])


def unknown_column(folder):
    rows, _ = robot_rows(SECONDS)
    write_robot(robot_csv(folder), [[*row, 5.0] for row in rows], head=[*ROBOT_HEAD, "gripper"])


def image_cut_off(folder):
    cut(sorted((folder / "View1" / "left").iterdir())[0])


def image_without_time(folder):
    (folder / "View1" / "left" / "thumbnail.jpg").write_bytes(jpeg(1))


def data_pickle(folder):
    (folder / "data.pkl").write_bytes(pickle.dumps(Payload(folder.parents[1] / "mark")))


def damaged_notes(folder):
    (folder / "metadata.json").write_text("{")


REPORTED = {
    row_cut_off: "1 rows are cut off",
    row_of_nan: "(the first in line 9); they are left out",
    unread_robot: "3 rows hold zeros for a pose that was never read",
    unknown_column: "columns gripper are not known",
    image_cut_off: "its end is missing",
    image_without_time: "expected a JPEG file named by its time",
    data_pickle: "data.pkl is a pickle and was not opened",
    damaged_notes: "metadata.json: expected JSON",
}


@pytest.mark.parametrize("fault", REPORTED, ids=lambda fault: fault.__name__)
def test_a_faulty_part_is_left_out_and_reported(tmp_path, capsys, fault):
    fault(write_recv_all(tmp_path / "in" / "recv_all_1", seconds=SECONDS, force=False, view5=False))
    assert run(tmp_path) == 1
    assert REPORTED[fault] in capsys.readouterr().err
    episode = BagReader(tmp_path / "bags" / "recv_all_1").episode()
    assert REPORTED[fault] in episode.notes and not (tmp_path / "mark").exists()


def test_rows_that_are_left_out_are_in_no_message(tmp_path):
    folder = write_recv_all(tmp_path / "in" / "recv_all_1", seconds=SECONDS, force=False, view5=False)
    for fault, left_out in ((unread_robot, 3), (row_of_nan, 1)):
        fault(folder)
        assert main([str(folder), "--to", str(tmp_path / fault.__name__)]) == 1
        topics = BagReader(tmp_path / fault.__name__ / "recv_all_1").topics()
        assert topics["/joint_states"].count == topics["/tool_pose"].count == 40 - left_out


def in_npz(folder):
    objects = np.array([Payload(folder / "mark")], object)
    write_moveit(folder / "in" / "traj_1.npz", pen_axis=objects)


def as_npz(folder):
    (folder / "in" / "traj_1.npz").write_bytes(pickle.dumps(Payload(folder / "mark")))


def as_hdf5(folder):
    (folder / "in" / "episode_1.h5").write_bytes(pickle.dumps(Payload(folder / "mark")))


def by_name(folder):
    (folder / "in" / "data.pkl").write_bytes(pickle.dumps(Payload(folder / "mark")))


def in_zarr(folder, array, **head):
    write_dp_zarr(folder / "in" / "pen.zarr")
    path = folder / "in" / "pen.zarr" / array
    (path / ".zarray").write_text(json.dumps({**json.loads((path / ".zarray").read_text()), **head}))
    (path / "0.0").write_bytes(pickle.dumps(Payload(folder / "mark")))


def in_zarr_filter(folder):
    in_zarr(folder, "data/state", filters=[{"id": "pickle", "protocol": 5}], compressor=None)


def in_zarr_compressor(folder):
    in_zarr(folder, "data/action", compressor={"id": "pickle", "protocol": 5})


def in_csv(folder):
    lab = write_recv_all(folder / "in" / "recv_all_1", seconds=SECONDS, force=False, view5=False)
    robot_csv(lab).write_bytes(pickle.dumps(Payload(folder / "mark")))


DISGUISES = {
    in_npz: "'pen_axis' holds pickled objects",
    as_npz: "traj_1.npz is a pickle",
    as_hdf5: "episode_1.h5 is a pickle",
    by_name: "data.pkl is a pickle",
    in_csv: ".csv is a pickle",
    in_zarr_filter: "data/state has filters, which may run code",
    in_zarr_compressor: "data/action: expected a compressor among",
}


@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda disguise: disguise.__name__)
def test_pickles_in_any_disguise_are_refused_and_never_run(tmp_path, capsys, disguise):
    (tmp_path / "in").mkdir()
    disguise(tmp_path)
    assert run(tmp_path) == 1
    assert DISGUISES[disguise] in capsys.readouterr().err and not (tmp_path / "mark").exists()
    assert not list((tmp_path / "bags").iterdir())


def chunk_gone(path):
    write_dp_zarr(path)
    (path / "data" / "state" / "0.0").unlink()


def chunk_cut(path):
    write_dp_zarr(path)
    cut(path / "data" / "action" / "0.0")


def wrong_ends(path):
    write_dp_zarr(path, **{"meta/episode_ends": np.array([5, 99])})


def narrow_state(path):
    write_dp_zarr(path, **{"data/state": np.zeros((21, 19), np.float32)})


def wxyz(path):
    state, _ = write_dp_zarr(path)
    write_dp_zarr(path.with_name("b.zarr"), **{"data/state": np.roll(state, 3, axis=1)})


@pytest.mark.parametrize(
    ("fault", "texts"),
    [
        (chunk_gone, ("1 of its files are missing", "read as zeros; copy it again")),
        (chunk_cut, ("data/action is damaged", "copy it again")),
        (wrong_ends, ("expected meta/episode_ends to rise to the 21 rows", "copy it again")),
        (narrow_state, ("expected T x 25 numbers", "shape (21, 19)")),
        (wxyz, ("expected unit quaternions x, y, z, w", "order of the columns")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faulty_zarr_is_refused_and_nothing_is_read_as_zeros(tmp_path, capsys, fault, texts):
    (tmp_path / "in").mkdir()
    fault(tmp_path / "in" / "a.zarr")
    assert run(tmp_path) == 1
    said = capsys.readouterr().err
    assert all(text in said for text in texts)


def hdf5_cut(path):
    write_hdf5(path)
    cut(path, 0.5)


def hdf5_without_action(path):
    write_hdf5(path)
    with h5py.File(path, "r+") as file:
        del file["action"]


def hdf5_elsewhere(path):
    write_hdf5(path)
    with h5py.File(path, "r+") as file:
        del file["observations/qpos"]
        file["observations/qpos"] = h5py.ExternalLink("/etc/other.h5", "qpos")


def hdf5_raw_images(path):
    write_hdf5(path)
    with h5py.File(path, "r+") as file:
        del file["observations/images/camera1"]
        file["observations/images/camera1"] = np.zeros((20, 48, 64, 3), np.uint8)


def hdf5_other_rate(path):
    write_hdf5(path)
    with h5py.File(path, "r+") as file:
        for name in ("force", "aline"):
            values = file[f"observations/sensor/{name}"][:100]
            del file[f"observations/sensor/{name}"]
            file[f"observations/sensor/{name}"] = values


@pytest.mark.parametrize(
    ("fault", "texts"),
    [
        (hdf5_cut, ("expected an HDF5 file", "copy it again, or remove it")),
        (hdf5_without_action, ("expected 'action', there is none", "another recorder")),
        (hdf5_elsewhere, ("leads elsewhere", "into the file itself")),
        (hdf5_raw_images, ("expected JPEG images", "encode them first")),
        (hdf5_other_rate, ("expected 300 to 1300 samples/s", "is --rate-hz right?")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faulty_hdf5_is_refused_and_the_rest_is_done(tmp_path, capsys, fault, texts):
    (tmp_path / "in").mkdir()
    fault(tmp_path / "in" / "episode_1.h5")
    write_hdf5(tmp_path / "in" / "episode_2.h5", seed=2, force=False)
    assert run(tmp_path, "--rate-hz", 15) == 1
    said = capsys.readouterr().err
    assert all(text in said for text in texts) and (tmp_path / "bags" / "episode_2").exists()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_picture_is_refused_whatever_its_bytes_are(data):
    picture = bytearray(jpeg(1))
    for _ in range(data.draw(st.integers(1, 8))):
        picture[data.draw(st.integers(2, len(picture) - 3))] = data.draw(st.integers(0, 255))
    cut_at = data.draw(st.integers(0, len(picture) - 1))
    try:
        width, height = jpeg_size(bytes(picture))
        assert 16 <= width <= 8192 and 16 <= height <= 8192
    except ValueError:
        pass
    with pytest.raises(ValueError, match="expected a"):
        jpeg_size(bytes(picture[:cut_at]).removesuffix(b"\xff\xd9"))


def test_unknown_recordings_and_flags_are_refused(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("hello")
    assert run(tmp_path) == 1
    assert "expected one of the known recordings" in capsys.readouterr().err
    assert main([str(tmp_path / "gone"), "--to", str(tmp_path / "bags")]) == 2
    assert "there is no" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(tmp_path, "--rate", 10)
    assert "did you mean --rate-hz?" in capsys.readouterr().err
    assert run(tmp_path, "--rate-hz", "-3") == 2


def test_folders_that_lead_in_a_circle_are_searched_once(tmp_path):
    write_recv_all(tmp_path / "in" / "day" / "recv_all_1", seconds=SECONDS, force=False, view5=False)
    (tmp_path / "in" / "day" / "again").symlink_to(tmp_path / "in")
    assert run(tmp_path) == 0
    assert [path.name for path in (tmp_path / "bags").iterdir()] == ["recv_all_1"]


def test_another_episode_of_the_same_name_is_refused(tmp_path, capsys):
    for number, place in enumerate(("a", "b")):
        folder = tmp_path / "in" / place / "episode_1"
        write_episode_folder(folder, seed=number, seconds=1.1)
    assert run(tmp_path) == 1
    assert "another episode in" in (said := capsys.readouterr().err) and "rename one of the two" in said


def test_a_full_disk_ends_with_a_sentence_and_the_same_command_goes_on(tmp_path):
    for number in range(3):
        write_recv_all(tmp_path / "in" / f"recv_all_{number}", seed=number, seconds=0.4, force=number == 1, view5=False)
    program = (
        "import resource, sys; limit = int(sys.argv.pop(1));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY));"
        "from insertion_vla_training.import_ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [str(tmp_path / "in"), "--to", str(tmp_path / "bags")]
    full = subprocess.run(
        [sys.executable, "-c", program, "300000", *command], capture_output=True, text=True, timeout=60
    )
    assert (
        full.returncode == 2 and "no space left for bags" in full.stderr and "run the same command again" in full.stderr
    )
    assert [path.name for path in (tmp_path / "bags").iterdir()] == ["recv_all_0"]
    assert main(command) == 0
    assert {path.name for path in (tmp_path / "bags").iterdir()} == {f"recv_all_{i}" for i in range(3)}


def test_a_sensor_with_another_clock_is_placed_by_its_offset(tmp_path):
    sensor_of_another_clock(write_recv_all(tmp_path / "in" / "recv_all_1", seconds=SECONDS, view5=False))
    assert run(tmp_path, "--sensor-offset-s", 1e6) == 0
    reader = BagReader(tmp_path / "bags" / "recv_all_1")
    first = reader.decode(next(reader.messages(["/force/samples"])))
    assert first.stamps[0] / 1e9 == pytest.approx(START_S, abs=1e-5)
