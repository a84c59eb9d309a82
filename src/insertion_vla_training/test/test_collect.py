"""`collect --fast`: bags of the scripted expert, seen as whoever reads them sees them."""

import os
import resource
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from insertion_vla_core.contract import parse_contract
from insertion_vla_core.episode_metadata import to_custom_data
from insertion_vla_core.geometry import matrix_from_quaternion
from insertion_vla_core.recording_index import read_index
from insertion_vla_sim.world import World
from insertion_vla_training.bags import BagReader, replace_custom_data
from insertion_vla_training.stores.store import Store

from insertion_vla_training import collect, preprocess

VIEWS = ("front", "side", "hand")
EXTRAS = {"/arm/state", "/task/state", *(f"/{view}/camera_info" for view in VIEWS)}
SHORT = ("--time-limit-s", "2.5")
WAIT_S = 60.0


def run(out, *words, seed=3, episodes=1, jobs=1):
    arguments = ["--fast", "--out", str(out), "--episodes", str(episodes), "--seed", str(seed), "--jobs", str(jobs)]
    return collect.main([*arguments, *words])


def bags(out):
    return sorted(path for path in out.iterdir() if path.is_dir())


def read(bag):
    """{topic: [(receive_ns, message)]} of a bag."""
    reader, found = BagReader(bag), {}
    for message in reader.messages():
        found.setdefault(message.topic, []).append((message.receive_ns, reader.decode(message)))
    return found


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One whole episode with features."""
    out = tmp_path_factory.mktemp("whole")
    assert run(out, "--features", "visual_servo") == 0
    return bags(out)[0]


@pytest.fixture(scope="module")
def messages(whole):
    return read(whole)


def test_an_episode_says_of_itself_what_the_recorder_says(whole):
    episode = BagReader(whole).episode()
    assert episode.source == "collect --fast" and episode.seed == 3 and episode.name == whole.name
    assert episode.instruction == f"Insert the needle into the {World(3).layout.target} trocar"
    assert episode.outcome == "success" and "past the membrane" in episode.notes
    assert not episode.bad and not episode.reasons and all(rate.ok for rate in episode.rates)
    assert episode.parameters["collect"]["disturbance"] == 0.0
    assert "views:" in episode.camera_calibration and "joints" in episode.robot_calibration
    (entry,) = read_index(whole.parent)
    assert entry.name == episode.name and entry.outcome == "success" and entry.messages > 3000


def test_every_topic_of_the_contract_comes_at_its_rate_and_after_it_was_measured(whole, messages):
    contract = parse_contract(BagReader(whole).episode().contract, "the bag")
    wanted = {f"/{s.topic}": s.type for s in (*contract.observations, *contract.images, contract.action)}
    topics = BagReader(whole).topics()
    assert set(topics) == set(wanted) | EXTRAS == set(messages)
    assert all(topics[name].type == kind for name, kind in wanted.items())
    assert topics["/vlm/features"].latched and not topics["/joint_states"].latched
    rates = {"/joint_states": 100, "/tool_pose": 100, "/force/samples": 65, "/arm/state": 20, "/task/state": 20}
    rates |= {f"/{view}/image_raw/compressed": 5 for view in VIEWS} | {"/vlm/features": 2.6}
    for topic, rate in rates.items():
        received = np.array([receive for receive, _ in messages[topic]])
        assert rate * 0.95 < (len(received) - 1) / np.ptp(received) * 1e9 < rate * 1.06, topic
    for topic, entries in messages.items():
        delays = np.array([receive - stamp_ns(message) for receive, message in entries])
        assert (delays > 0).all() and np.diff([receive for receive, _ in entries]).min() > 0, topic


def test_force_comes_in_blocks_and_is_no_number_before_the_tare(messages):
    blocks = [message for _, message in messages["/force/samples"]]
    stamps = np.concatenate([block.stamps for block in blocks])
    force = np.concatenate([block.force for block in blocks])
    assert np.allclose(np.diff(stamps), 1e9 / 650, atol=2) and len(blocks[0].stamps) == 10
    tared = np.flatnonzero(np.isfinite(force))[0]
    assert np.isnan(force[:tared]).all() and np.isfinite(force[tared:]).all()
    assert 0.4 < (stamps[tared] - stamps[0]) / 1e9 < 0.6
    assert abs(np.mean(force[tared : tared + 200])) < 0.02, "nothing is touched yet"
    raw = np.concatenate([block.force_raw for block in blocks])
    assert np.allclose((raw - np.mean(raw[:tared], dtype=float))[tared:] / 1.2, force[tared:], atol=1e-5)
    assert blocks[-1].aline_bins == 1025 and len(blocks[-1].alines) == 10250
    assert all((block.receive_stamps > block.stamps).all() for block in blocks)
    assert [block.received for block in blocks] == [10 * (i + 1) for i in range(len(blocks))]


def test_pictures_are_those_of_the_simulated_cameras(messages):
    for view in VIEWS:
        images, infos = messages[f"/{view}/image_raw/compressed"], messages[f"/{view}/camera_info"]
        decoded = [cv2.imdecode(np.frombuffer(m.data, np.uint8), cv2.IMREAD_COLOR) for _, m in images[:2]]
        assert decoded[0].shape == (180, 320, 3) and decoded[0].std() > 15.0
        assert (decoded[0] != decoded[1]).any(), "two frames of a camera differ at least by their noise"
        assert [stamp_ns(m) for _, m in images] == [stamp_ns(m) for _, m in infos]
        assert images[0][1].header.frame_id == infos[0][1].header.frame_id == f"{view}_optical"
    first = [stamp_ns(messages[f"/{view}/image_raw/compressed"][0][1]) for view in VIEWS]
    assert np.allclose(np.diff(first), 0.2e9 / 3, atol=2e6), "one view after the other"


def test_chunks_start_from_the_measured_pose_and_the_arm_follows_them(messages):
    poses = {stamp_ns(m): m.pose for _, m in messages["/tool_pose"]}
    chunks = [m for _, m in messages["/action_expert/chunk"]]
    for chunk in chunks:
        assert np.allclose(_position(chunk.anchor), _position(poses[stamp_ns(chunk)]), rtol=0, atol=1e-12)
        assert (chunk.horizon, chunk.dim, len(chunk.data)) == (8, 7, 56)
    assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))
    assert len({(chunk.session_id, chunk.goal_id) for chunk in chunks}) == 1
    stamps = np.array(sorted(poses))
    places = np.array([[p.position.x, p.position.y, p.position.z] for p in (poses[s] for s in stamps)])
    fifth = chunks[5]
    target = [fifth.anchor.position.x, fifth.anchor.position.y, fifth.anchor.position.z] + fifth.data[2 * 7 :][:3]
    reached = places[np.searchsorted(stamps, stamp_ns(fifth) + 300_000_000)]
    assert np.linalg.norm(reached - target) < 0.002 < np.linalg.norm(fifth.data[14:17])


def test_task_and_arm_tell_the_episode(messages):
    tasks = [m for _, m in messages["/task/state"]]
    phases = [m.phase for m in tasks]
    assert phases == sorted(phases) and set(phases) == {1, 2, 3, 5}, "approach, insert, dwell, succeeded"
    assert not tasks[0].permit and tasks[len(tasks) // 2].permit and not tasks[-1].permit
    assert tasks[0].goal_id and not tasks[-1].goal_id
    assert np.isnan(tasks[0].depth) and tasks[-1].depth > 0.002
    states = [m for _, m in messages["/arm/state"]]
    assert {m.state for m in states} >= {1, 2} and states[-1].chunks_rejected == 0
    moving = next(m for m in states if m.state == 2)
    assert np.linalg.norm(moving.twist[:3]) > 0.001 and moving.session_id == "".join(moving.session_id)


def test_features_are_of_the_recorded_pictures(messages):
    pictures = {view: {stamp_ns(m) for _, m in messages[f"/{view}/image_raw/compressed"]} for view in VIEWS}
    for receive, features in messages["/vlm/features"]:
        stamps = [stamp.sec * 10**9 + stamp.nanosec for stamp in features.view_stamps]
        assert all(stamp in pictures[view] for view, stamp in zip(VIEWS, stamps, strict=True))
        assert stamp_ns(features) == min(stamps) < receive - 0.1e9
        assert features.model_id == "color_keypoints" and list(features.shape) == [6, 8]


def test_preprocess_takes_it(whole, tmp_path):
    assert preprocess.main([str(whole), "--store", str(tmp_path / "store"), "--jobs", "1"]) == 0
    (episode,) = Store.open(tmp_path / "store").episodes()
    assert not episode.bad and episode.outcome == "success" and episode.seed == 3


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path):
    def content(out, seed):
        assert run(out, *SHORT, seed=seed) == 0
        (bag,) = bags(out)
        return {path.name: path.read_bytes() for path in bag.iterdir()}

    first = content(tmp_path / "a", 4)
    assert content(tmp_path / "b", 4) == first
    assert content(tmp_path / "c", 5).keys() != first.keys()


def test_a_run_goes_on_where_it_ended_and_the_processes_share_the_work(tmp_path, capsys):
    assert run(tmp_path, *SHORT, seed=6) == 0
    there = {path: path.stat().st_mtime_ns for path in bags(tmp_path)[0].iterdir()}
    assert run(tmp_path, *SHORT, seed=6, episodes=3, jobs=2) == 0
    assert [BagReader(bag).episode().seed for bag in bags(tmp_path)] == [6, 7, 8]
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert "3 episodes" in (said := capsys.readouterr()).out and "1 were there" in said.out
    assert len(read_index(tmp_path)) == 3


def test_ctrl_c_ends_at_once_and_leaves_no_half_bag(tmp_path):
    words = ["--fast", "--out", str(tmp_path), "--episodes", "6", "--jobs", "2"]
    command = [sys.executable, "-m", "insertion_vla_training.collect", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline_s = time.monotonic() + WAIT_S
        while len(list(tmp_path.glob(".*.part"))) < 2 and time.monotonic() < deadline_s:
            os.sched_yield()
        os.killpg(process.pid, signal.SIGINT)
        assert "interrupted" in process.communicate(timeout=WAIT_S)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert not list(tmp_path.glob(".*.part")) and not bags(tmp_path)


def test_a_full_disk_is_said_and_leaves_no_half_bag(tmp_path):
    words = ["--fast", "--out", str(tmp_path), "--episodes", "1", "--jobs", "1", *SHORT]
    limit = 1 << 20
    done = subprocess.run(
        [sys.executable, "-m", "insertion_vla_training.collect", *words],
        capture_output=True, text=True, timeout=WAIT_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 2 and "no space left" in done.stderr and "same command again" in done.stderr
    assert not list(tmp_path.glob(".*.part")) and not bags(tmp_path)


def test_variety_starts_elsewhere_errs_and_is_told_in_name_and_metadata(tmp_path):
    words = ("--start-spread-deg", "4", "--disturbance", "0.5", "--randomisation", "heldout", *SHORT)
    assert run(tmp_path / "plain", *SHORT, "--randomisation", "heldout") == 0
    assert run(tmp_path / "varied", *words) == 0
    (plain,), (varied,) = bags(tmp_path / "plain"), bags(tmp_path / "varied")
    assert plain.name != varied.name and varied.name.startswith("heldout_000003_")
    start, own = read(varied)["/joint_states"][0][1].position, World(3, "heldout").layout.start_joints_rad
    assert 0.005 < np.abs(start - own).max() <= np.radians(4.0)
    assert BagReader(varied).episode().parameters["collect"]["disturbance"] == 0.5


def test_a_disturbance_moves_the_arm_aside_while_the_chunks_stay_the_experts(tmp_path):
    words = ("--time-limit-s", "4")
    assert run(tmp_path / "straight", *words) == 0
    assert run(tmp_path / "disturbed", *words, "--disturbance", "0.4") == 0
    straight, disturbed = read(bags(tmp_path / "straight")[0]), read(bags(tmp_path / "disturbed")[0])
    paths = [np.array([[*_position(m.pose)] for _, m in found["/tool_pose"]]) for found in (straight, disturbed)]
    assert np.linalg.norm(paths[0] - paths[1], axis=1).max() > 0.001
    # On the approach the expert aims at one point from wherever it is: every chunk's line leads through it.
    lines = [
        (np.array(_position(m.anchor)), np.asarray(m.data[7 * 7 :][:3], float))
        for _, m in disturbed["/action_expert/chunk"]
        if m.status == "approach"
    ]
    lines = [(place, way / np.linalg.norm(way)) for place, way in lines if np.linalg.norm(way) > 0.005]
    across = [np.eye(3) - np.outer(way, way) for _, way in lines]
    point = np.linalg.solve(sum(across), sum(a @ p for a, (p, _) in zip(across, lines, strict=True)))
    assert len(lines) > 10
    assert max(np.linalg.norm(a @ (point - p)) for a, (p, _) in zip(across, lines, strict=True)) < 2e-5


def _position(pose):
    return pose.position.x, pose.position.y, pose.position.z


def test_an_aim_error_makes_the_expert_search(tmp_path):
    assert run(tmp_path, "--aim-error-mm", "2.5", seed=4) == 0
    found = read(bags(tmp_path)[0])
    statuses = {m.status.split(" ")[0] for _, m in found["/action_expert/chunk"]}
    assert "search" in statuses
    assert BagReader(bags(tmp_path)[0]).episode().outcome == "success"
    needle = found["/tool_pose"][-1][1].pose.orientation
    turned = matrix_from_quaternion(np.array([needle.x, needle.y, needle.z, needle.w]))
    assert turned[2, 2] < -0.8, "it points down into the eye"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--episodes", "1"), "expected --fast (lock-step, without ROS)"),
        (("--fast", "--episodes", "0"), "expected --episodes and --jobs of at least 1, got 0"),
        (("--fast", "--episodes", "1", "--disturbance", "3"), "expected --disturbance from 0 to 1, got 3"),
        (("--fast", "--episodes", "1", "--aim-error-mm", "-1"), "expected --aim-error-mm from 0 to 2.5, got -1"),
        (("--fast", "--episodes", "2", "--seed", "999999"), "expected seeds from 0 to 1000000"),
        (("--fast", "--episodes", "1", "--time-limit-s", "0"), "expected --time-limit-s from 1 to 600, got 0"),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_do(tmp_path, capsys, words, sentence):
    assert collect.main([*words, "--out", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_with_another_episode_of_that_name_is_refused(whole, tmp_path, capsys):
    assert run(tmp_path, *SHORT) == 0
    (bag,) = bags(tmp_path)
    episode = BagReader(bag).episode()
    replace_custom_data(bag, to_custom_data(episode.model_copy(update={"seed": 12})))
    assert run(tmp_path, *SHORT) == 2
    assert "it holds one of seed 12" in (said := capsys.readouterr().err) and "another folder" in said
