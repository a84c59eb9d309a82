"""The verb `preprocess`: incremental, resumable, and a bad bag costs one sentence."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from bag_rig import START_NS
from episode_rig import NS, TYPES, messages, write_episode
from insertion_vla_training.bags import local_type
from insertion_vla_training.preprocess import main
from insertion_vla_training.stores.statistics import load_statistics
from insertion_vla_training.stores.store import Store

SECONDS = 1.5
PAUSE = threading.Event()  # never set: between two looks at a condition, until a deadline


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    for i in range(4):
        write_episode(folder / f"episode_{i}", messages(SECONDS, seed=i))
    return folder


def run(*arguments):
    return main([str(argument) for argument in arguments])


def names(store):
    return [episode.name for episode in Store.open(store).episodes()]


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}


def test_only_new_bags_are_read_and_the_split_of_the_old_ones_stays(tmp_path, bags, capsys):
    store = tmp_path / "store"
    first = [bags / f"episode_{i}" for i in range(2)]
    assert run(*first, "--store", store, "--jobs", 1, "--seed", 3, "--val-share", 0.5) == 0
    before = {episode.name: episode.split for episode in Store.open(store).episodes()}
    assert run(bags, "--store", store, "--jobs", 2) == 0
    said = capsys.readouterr().out
    assert "added 2 episodes" in said and "2 were there already, 0 could not be added" in said
    after = {episode.name: episode.split for episode in Store.open(store).episodes()}
    assert list(after) == [f"episode_{i}" for i in range(4)] and before.items() <= after.items()
    assert load_statistics(Store.open(store))["joints"]["count"][0] > 0
    unchanged = snapshot(store)
    assert run(bags, "--store", store, "--jobs", 1) == 0
    assert snapshot(store) == unchanged
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_several_processes_give_the_same_store_as_one(tmp_path, bags):
    for jobs in (1, 3):
        assert run(bags, "--store", tmp_path / f"store_{jobs}", "--jobs", jobs) == 0
    one, three = ({path.relative_to(s): path.read_bytes() for path in s.rglob("*") if path.is_file()}
                  for s in (tmp_path / "store_1", tmp_path / "store_3"))  # fmt: skip
    assert one == three


def test_a_duplicate_is_refused_and_the_rest_is_done(tmp_path, bags, capsys):
    shutil.copytree(bags / "episode_0", tmp_path / "a_copy")
    assert run(bags / "episode_0", tmp_path / "a_copy", bags / "episode_1", "--store", tmp_path / "store") == 1
    captured = capsys.readouterr()
    assert "a_copy is a duplicate of episode 'episode_0'" in captured.err
    assert "1 could not be added" in captured.out
    assert names(tmp_path / "store") == ["episode_0", "episode_1"]
    assert run(tmp_path / "a_copy", "--store", tmp_path / "store") == 1  # in a later run too
    assert "duplicate" in capsys.readouterr().err


def test_another_episode_of_the_same_name_is_refused(tmp_path, bags, capsys):
    other = write_episode(tmp_path / "episode_0", messages(SECONDS, seed=77))
    assert run(bags / "episode_0", other, "--store", tmp_path / "store", "--jobs", 1) == 1
    assert "another episode 'episode_0'" in capsys.readouterr().err
    assert names(tmp_path / "store") == ["episode_0"]


def truncated(folder):
    write_episode(folder, messages(SECONDS, seed=20))
    mcap = next(folder.glob("*.mcap"))
    mcap.write_bytes(mcap.read_bytes()[:-20_000])


def missing_topic(folder):
    write_episode(folder, messages(SECONDS, seed=21), leave_out=("/tool_pose",))


def silent_topic(folder):
    found = [entry for entry in messages(SECONDS, seed=22) if not entry[0].startswith("/hand")]
    write_episode(folder, found)


def wrong_type(folder):
    write_episode(folder, [], types={"/tool_pose": "geometry_msgs/msg/PointStamped"})


def retimed(topic, shift_s, folder, seed):
    """Messages of a topic whose stamps are `shift_s(k)` later; None takes the stamp away."""
    found, k = [], 0
    for name, receive_ns, data in messages(SECONDS * 2, seed=seed):
        if name == topic:
            kind = local_type(TYPES[name])
            message = kind.decode(data)
            shift, k = shift_s(k), k + 1
            stamp = message.header.stamp
            at = 0 if shift is None else stamp.sec * NS + stamp.nanosec + round(shift * NS)
            time = type(stamp)(sec=at // NS, nanosec=at % NS)
            header = type(message.header)(stamp=time, frame_id=message.header.frame_id)
            data = kind.encode(type(message)(**{**vars(message), "header": header}))
        found.append((name, receive_ns, data))
    write_episode(folder, found)


def no_stamps(folder):
    retimed("/joint_states", lambda k: None if k == 40 else 0.0, folder, 23)


def stamps_of_another_clock(folder):
    retimed("/tool_pose", lambda k: 3.0, folder, 24)


def stepped_device_clock(folder):
    retimed("/joint_states", lambda k: 0.0 if k < 150 else -1.5, folder, 25)


def clock_set_forward(folder):
    half = START_NS + NS
    early = [entry for entry in messages(SECONDS, seed=26) if entry[1] < half]
    late = [entry for entry in messages(SECONDS, seed=27, start_ns=START_NS + 60 * NS) if entry[1] >= half + 60 * NS]
    write_episode(folder, early + late)


def clock_set_back(folder):
    """After a second the recorder's clock went back by half a second: two stretches lie over each other."""
    found = messages(2.0, seed=28)
    kind = local_type(TYPES["/force/samples"])
    moved = []
    for name, receive_ns, data in found:
        back = NS // 2 if receive_ns > START_NS + NS else 0
        if name == "/force/samples" and back:
            message = kind.decode(data)
            data = kind.encode(type(message)(**{**vars(message), "stamps": message.stamps - back}))
        moved.append((name, receive_ns - back, data))
    write_episode(folder, moved)


def all_nan(folder):
    kind = local_type(TYPES["/force/samples"])
    found = []
    for name, receive_ns, data in messages(SECONDS, seed=29):
        if name == "/force/samples":
            message = kind.decode(data)
            data = kind.encode(type(message)(**{**vars(message), "force": np.full(10, np.nan, np.float32)}))
        found.append((name, receive_ns, data))
    write_episode(folder, found)


def unknown_schema(folder):
    write_episode(folder, messages(SECONDS, seed=30))
    mcap = next(folder.glob("*.mcap"))
    text = mcap.read_bytes()
    assert text.count(b"ros2msg") > 3
    mcap.write_bytes(text.replace(b"ros2msg", b"ros9xyz"))


def no_episode(folder):
    write_episode(folder, messages(0.2, seed=31))
    metadata = folder / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("insertion_vla.", "somebody."))


def garbage(folder):
    folder.mkdir()
    (folder / "x_0.mcap").write_bytes(os.urandom(4000))


BAD = {
    truncated: "try: recover",
    missing_topic: "/tool_pose is missing",
    silent_topic: "there are none on /hand/image_raw/compressed",
    wrong_type: "/tool_pose is geometry_msgs/msg/PointStamped and not geometry_msgs/msg/PoseStamped",
    no_stamps: "1 of 300 stamps that are zero, negative or not a number",
    stamps_of_another_clock: "'tool_pose': expected stamps shortly before their receive times, got one 3.0 s after",
    stepped_device_clock: "'joints': a clock was set by about",
    clock_set_forward: "nothing at all was received for",
    clock_set_back: "the clock was set back",
    all_nan: "all are NaN",
    unknown_schema: "ros9xyz",
    no_episode: "metadata of an episode",
    garbage: "expected metadata.yaml",
}


def test_every_bad_bag_costs_a_sentence_that_names_it_and_the_good_ones_are_added(tmp_path, bags, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for make in BAD:
        make(folder / make.__name__)
    for seed, good in enumerate(("aa_good", "zz_good")):
        write_episode(folder / good, messages(SECONDS, seed=50 + seed))
    assert run(folder, "--store", tmp_path / "store", "--jobs", 2) == 1
    captured = capsys.readouterr()
    assert names(tmp_path / "store") == ["aa_good", "zz_good"]
    assert "added 2 episodes" in captured.out and f"{len(BAD)} could not be added" in captured.out
    lines = captured.err.splitlines()
    for make, sentence in BAD.items():
        about = [line for line in lines if make.__name__ in line and not line.startswith("preprocess")]
        assert about and sentence in about[0] and "defect" not in about[0], (make.__name__, about)


def test_messages_that_are_not_as_they_should_be_make_the_episode_bad_and_say_why(tmp_path):
    found = messages(SECONDS, seed=40)
    kind = local_type(TYPES["/front/image_raw/compressed"])
    at = next(i for i, entry in enumerate(found) if entry[0] == "/front/image_raw/compressed")
    broken = kind.decode(found[at][2])
    broken = type(broken)(**{**vars(broken), "data": np.frombuffer(b"\x89PNG....", np.uint8), "format": "png"})
    found[at] = (found[at][0], found[at][1], kind.encode(broken))
    write_episode(tmp_path / "one", found)
    write_episode(tmp_path / "two", messages(SECONDS, seed=41), bad=True, reasons=("images were lost",))
    assert run(tmp_path / "one", tmp_path / "two", "--store", tmp_path / "store", "--jobs", 1) == 0
    one, two = Store.open(tmp_path / "store").episodes()
    assert one.bad and "1 messages on front/image_raw/compressed" in one.reasons[0] and "'png'" in one.reasons[0]
    assert two.bad and two.reasons == ("images were lost",)
    assert json.loads((tmp_path / "store" / "statistics.json").read_text())["episodes"] == []


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path, bags):
    """SIGKILL while episodes are added; the next run ends with the store that one run would have made."""
    store = tmp_path / "store"
    command = [sys.executable, "-m", "insertion_vla_training.preprocess", str(bags), "--jobs", "2", "--store"]
    running = subprocess.Popen([*command, str(store)], start_new_session=True, stderr=subprocess.PIPE)
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and not (store / "metadata" / "000000.json").exists():
        PAUSE.wait(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)
    assert running.returncode == -signal.SIGKILL and len(names(store)) < 4
    assert_all_left(running.pid)
    assert run(bags, "--store", store, "--jobs", 1) == 0
    assert run(bags, "--store", tmp_path / "straight", "--jobs", 1) == 0
    ours, straight = Store.open(store), Store.open(tmp_path / "straight")
    assert [e.model_dump() for e in ours.episodes()] == [e.model_dump() for e in straight.episodes()]
    for a, b in zip(ours.episodes(), straight.episodes(), strict=True):
        assert ours.alines(a).tobytes() == straight.alines(b).tobytes()
        assert ours.stream("force", a).values.tobytes() == straight.stream("force", b).values.tobytes()
    assert load_statistics(ours) == load_statistics(straight)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "straight"]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_a_whole_store_and_nothing_beside_it(tmp_path, bags, number, code):
    command = [sys.executable, "-m", "insertion_vla_training.preprocess", str(bags), "--jobs", "2", "--store"]
    running = subprocess.Popen([*command, str(tmp_path / "store")], start_new_session=True, stderr=subprocess.PIPE)
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and not (tmp_path / "store" / "metadata" / "000000.json").exists():
        PAUSE.wait(0.01)
    os.killpg(running.pid, number) if number == signal.SIGINT else running.send_signal(number)
    said = running.communicate(timeout=60)[1].decode()
    assert running.returncode == code and "Traceback" not in said, said
    assert_all_left(running.pid)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert run(bags, "--store", tmp_path / "store", "--jobs", 1) == 0
    assert names(tmp_path / "store") == [f"episode_{i}" for i in range(4)]


def assert_all_left(group):
    """The readers, and Python's tracker of them, leave with the writing process."""
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s and _members(group):
        PAUSE.wait(0.01)
    assert _members(group) == []


def _members(group):
    """Processes of a process group that are alive."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry))
    return found


def test_a_full_disk_ends_the_run_with_a_sentence_and_keeps_what_was_added(tmp_path, bags):
    run(bags / "episode_0", "--store", tmp_path / "store", "--jobs", 1)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000));"
        "from insertion_vla_training.preprocess import main; sys.exit(main())"
    )
    for jobs in ("1", "2"):
        ended = subprocess.run(
            [sys.executable, "-c", code, str(bags), "--store", str(tmp_path / "store"), "--jobs", jobs],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert ended.returncode == 2 and "no space left for the store" in ended.stderr, ended.stderr
        assert "make space and run the same command again" in ended.stderr and "Traceback" not in ended.stderr
        assert names(tmp_path / "store") == ["episode_0"]


def test_other_settings_than_those_of_the_store_are_refused(tmp_path, bags, capsys):
    run(bags / "episode_0", "--store", tmp_path / "store", "--jobs", 1)
    assert run(bags, "--store", tmp_path / "store", "--seed", 5) == 2
    assert run(bags, "--store", tmp_path / "store", "--alines", "f32") == 2
    assert "--alines f16 --seed 0 --val-share 0.1" in capsys.readouterr().err
    assert run(tmp_path / "nothing", "--store", tmp_path / "store") == 2
    assert "there is no" in capsys.readouterr().err
