"""What goes wrong with `export`, and with reading back what was exported: a sentence, and never half of a data set."""

import json
import signal
import subprocess
import sys
import threading
import time

import pyarrow.parquet as pq
import pytest
from episode_rig import messages, write_episode
from export_rig import make_store, two_episodes, with_pictures
from insertion_vla_training.export import main
from insertion_vla_training.exporters.target import new_folder
from insertion_vla_training.import_ import main as import_main
from legacy_rig import write_moveit

from insertion_vla_training import preprocess

LIMITED = (
    "import resource, sys; limit = int(sys.argv.pop(1));"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY));"
    "from insertion_vla_training.export import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("export"), two_episodes(aline_bins=0))


@pytest.mark.parametrize("form", [["lerobot"], ["lerobot", "--videos"], ["dp-zarr"]])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, store, form):
    limit = 500 if form == ["dp-zarr"] else 2000
    command = [sys.executable, "-c", LIMITED, str(limit), *form, str(store.path), "--to", str(tmp_path / "out")]
    full = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert full.returncode == 2, full.stderr
    assert "no space left for the export" in full.stderr and "run the same command again" in full.stderr
    assert "Traceback" not in full.stderr and not list(tmp_path.iterdir())


def test_a_write_that_was_under_way_when_the_export_failed_leaves_nothing(tmp_path):
    failed, late = threading.Event(), tmp_path / ".out.part" / "data" / "0"

    def write_late():
        failed.wait(10)
        while late.parent.exists():  # as a thread of Zarr may: in the middle of the removal, and after it
            time.sleep(0.001)
        late.parent.mkdir(parents=True)
        late.write_bytes(b"late")

    writer = threading.Thread(target=write_late)
    with pytest.raises(OSError, match="disk full"), new_folder(tmp_path / "out") as folder:
        (folder / "data").mkdir()
        writer.start()
        failed.set()
        raise OSError("disk full")
    writer.join(10)
    assert not list(tmp_path.iterdir())


def test_a_killed_export_leaves_nothing_that_looks_whole(tmp_path, store):
    target = tmp_path / "out"
    command = [str(store.path), "--to", str(target)]
    program = (
        "import sys, os\n"
        "from insertion_vla_training.exporters import lerobot\n"
        "from insertion_vla_training.export import main\n"
        "whole = lerobot.LeRobotWriter.finish\n"
        "def finish(self):\n"
        "    whole(self)\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
        "lerobot.LeRobotWriter.finish = finish\n"
        "main(['lerobot', *sys.argv[1:]])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not target.exists() and [path.name for path in tmp_path.iterdir()] == [".out.part"]
    assert main(["lerobot", *command]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (target / "meta/info.json").exists()


def test_what_exists_is_never_written_over(tmp_path, store, capsys):
    (tmp_path / "out").mkdir()
    assert main(["lerobot", str(store.path), "--to", str(tmp_path / "out")]) == 2
    assert "exists; remove it, or name another" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_bad_episodes_stay_and_a_store_of_them_alone_is_refused(tmp_path, capsys):
    write_episode(tmp_path / "bags" / "episode_0", with_pictures(messages(0.8, seed=1, aline_bins=0), 1), bad=True)
    assert preprocess.main([str(tmp_path / "bags"), "--store", str(tmp_path / "store"), "--jobs", "1"]) == 0
    assert main(["lerobot", str(tmp_path / "store"), "--to", str(tmp_path / "out")]) == 2
    assert "found none (1 are bad); collect or import some" in capsys.readouterr().err


def test_episodes_without_commands_are_named(tmp_path, capsys):
    write_moveit(tmp_path / "traj_1.npz")
    assert import_main([str(tmp_path / "traj_1.npz"), "--to", str(tmp_path / "bags")]) == 0
    assert preprocess.main([str(tmp_path / "bags"), "--store", str(tmp_path / "store"), "--jobs", "1"]) == 0
    for form in ("lerobot", "dp-zarr"):
        assert main([form, str(tmp_path / "store"), "--to", str(tmp_path / "out")]) == 2
        assert "episode traj_1: no two ticks in a row" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--videos"]])
def test_an_episode_with_unusable_images_is_left_out_and_the_rest_is_done(tmp_path, capsys, flags):
    damaged = with_pictures(messages(0.8, seed=3, aline_bins=0), 3)
    for number, (topic, receive_ns, data) in enumerate(damaged):
        if topic.startswith("/side"):
            colours = data.index(b"\xff\xc0") + 9  # behind marker, length, precision, height and width
            damaged[number] = (topic, receive_ns, data[:colours] + b"\x09" + data[colours + 1 :])
    episodes = {
        "episode_0": with_pictures(messages(0.8, seed=1, aline_bins=0), 1),
        "episode_1": with_pictures(messages(0.8, seed=2, aline_bins=0), 2, size=(96, 48)),
        "episode_2": damaged,
    }
    store = make_store(tmp_path, episodes)
    assert main(["lerobot", str(store.path), "--to", str(tmp_path / "out"), *flags]) == 1
    said = capsys.readouterr().err
    assert "episode_1: expected images of 64 x 48" in said and "apart with --episodes" in said
    assert "episode_2: view side: an image of" in said and "record the episode again" in said
    assert pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet", columns=["episode_index"]).num_rows > 2
    assert import_main([str(tmp_path / "out"), "--to", str(tmp_path / "back")]) == 0
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["episode_0"]


def test_a_faulty_bag_is_named_and_the_others_become_csv(tmp_path, capsys):
    write_episode(tmp_path / "bags" / "a", messages(0.4, seed=1, aline_bins=0))
    write_episode(tmp_path / "bags" / "b", messages(0.4, seed=2, aline_bins=0))
    file = next((tmp_path / "bags" / "a").glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-5000])
    assert main(["csv", str(tmp_path / "bags"), "--to", str(tmp_path / "csv")]) == 1
    assert "try: recover" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "csv").iterdir()] == ["b"]


def test_unknown_formats_and_flags_are_refused(tmp_path, store, capsys):
    for words, text in (
        (["hdf5", str(store.path)], "invalid choice"),
        (["lerobot", str(store.path), "--too", "x"], "did you mean --to?"),
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert text in capsys.readouterr().err
    assert main(["lerobot", str(tmp_path), "--to", str(tmp_path / "out")]) == 2
    assert "expected a store" in capsys.readouterr().err


def changed(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def another_version(folder):
    changed(folder, "meta/info.json", codebase_version="v2.1")


def without_notes(folder):
    (folder / "meta/insertion_vla.json").unlink()


def later_notes(folder):
    changed(folder, "meta/insertion_vla.json", version=7)


def data_cut(folder):
    path = folder / "data/chunk-000/file-000.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def data_gone(folder):
    (folder / "data/chunk-000/file-000.parquet").unlink()


def name_of_a_path(folder):
    notes = json.loads((folder / "meta/insertion_vla.json").read_text())
    notes["episodes"][0]["name"] = "../outside"
    (folder / "meta/insertion_vla.json").write_text(json.dumps(notes))


@pytest.mark.parametrize(
    ("fault", "texts"),
    [
        (another_version, ("expected a data set of version v3.0, got v2.1", "convert it")),
        (without_notes, ("expected meta/insertion_vla.json", "in which unit")),
        (later_notes, ("of version 7", "update this workspace")),
        (data_cut, ("is cut off or no parquet file", "copy it again")),
        (data_gone, ("is cut off or no parquet file", "copy it again")),
        (name_of_a_path, ("expected the name of an episode", "../outside")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_faulty_data_set_is_refused_with_a_remedy(tmp_path, store, capsys, fault, texts):
    assert main(["lerobot", str(store.path), "--to", str(tmp_path / "lerobot"), "--episodes", "episode_0"]) == 0
    fault(tmp_path / "lerobot")
    assert import_main([str(tmp_path / "lerobot"), "--to", str(tmp_path / "bags")]) == 1
    said = capsys.readouterr().err
    assert all(text in said for text in texts)
    assert not list((tmp_path / "bags").iterdir()) and not (tmp_path / "outside").exists()
