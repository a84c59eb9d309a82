"""Fast and live bags are equal in content: one episode through the real graph beside one in lock-step."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from insertion_vla_core.contract import parse_contract
from insertion_vla_core.recording_index import read_index
from insertion_vla_training.bags import BagReader
from insertion_vla_training.stores.store import Store

from insertion_vla_training import collect, preprocess

DOMAIN = 61
HOST = "127.0.61.1"
SEED = 6
TIMEOUT_S = 150.0
LIVE_ONLY = {"/system/state", "/diagnostics"}  # of processes, of which lock-step has none


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    words = (f"folder:={folder}", f"host:={HOST}", "episodes:=1", f"seed:={SEED}")
    done = subprocess.run(
        ["ros2", "launch", "insertion_vla", "collect.launch.py", *words],
        env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "Traceback" not in said and "collected 1 of 1 episodes" in said and "1 successful" in said, said
    (entry,) = read_index(folder)
    assert not entry.bad and done.returncode == 0, said
    return folder / entry.path


@pytest.fixture(scope="module")
def fast(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("fast")
    assert collect.main(["--fast", "--episodes", "1", "--seed", str(SEED), "--out", str(out), "--jobs", "1"]) == 0
    (entry,) = read_index(out)
    return out / entry.path


def contents(bag: Path):
    """Reader, first messages and, by topic, stamps and receive times (n, 2) [ns]."""
    reader, first, times = BagReader(bag), {}, {}
    for message in reader.messages(set(reader.topics()) - LIVE_ONLY):
        decoded = reader.decode(message)
        stamp = decoded.header.stamp
        first.setdefault(message.topic, decoded)
        times.setdefault(message.topic, []).append((stamp.sec * 10**9 + stamp.nanosec, message.receive_ns))
    return reader, first, {topic: np.array(rows) for topic, rows in times.items()}


def test_an_episode_through_the_graph_and_one_in_lock_step_are_equal_in_content(live, fast, tmp_path):
    (a, first_a, times_a), (b, first_b, times_b) = contents(live), contents(fast)
    one, other = a.episode(), b.episode()
    contract = parse_contract(one.contract, "the live bag")
    assert one.contract == other.contract and one.camera_calibration == other.camera_calibration
    assert one.robot_calibration == other.robot_calibration and one.git_revision == other.git_revision
    assert one.model_dump().keys() == other.model_dump().keys()
    assert one.outcome == other.outcome == "success" and not one.bad and not other.bad
    assert one.instruction.lower() == other.instruction.lower() and f"seed {SEED} of train" in one.notes
    assert {rate.topic for rate in other.rates} <= {rate.topic for rate in one.rates}

    assert times_a.keys() == times_b.keys()
    recorded_b = {topic for topic, described in b.topics().items() if described.count}
    assert recorded_b == set(a.topics()) - LIVE_ONLY
    for topic in recorded_b:
        seen, known = a.topics()[topic], b.topics()[topic]
        assert (seen.type, seen.type_hash, seen.latched) == (known.type, known.type_hash, known.latched), topic
        rows_a, rows_b = times_a[topic], times_b[topic]
        rates = [(len(rows) - 1) / np.ptp(rows[:, 1]) * 1e9 for rows in (rows_a, rows_b)]
        assert rates[0] == pytest.approx(rates[1], rel=0.1), topic
        delays = [np.median(rows[:, 1] - rows[:, 0]) / 1e9 for rows in (rows_a, rows_b)]
        assert 0.0 < min(delays) and max(delays) < 0.15, topic
        assert shape_of(first_a[topic]) == shape_of(first_b[topic]), topic
    assert {image.topic for image in contract.images} <= {topic[1:] for topic in recorded_b}

    bags = [str(live), str(fast)]
    assert preprocess.main([*bags, "--store", str(tmp_path / "store"), "--jobs", "1"]) == 0
    stored = Store.open(tmp_path / "store").episodes()
    assert [episode.outcome for episode in stored] == ["success", "success"]
    assert [episode.bad for episode in stored] == [False, False]
    assert {path for path, n in stored[0].counts.items() if n} == {path for path, n in stored[1].counts.items() if n}


def shape_of(message):
    """What of a message does not depend on the episode: frames, names, lengths of arrays and types of values."""
    shape = {}
    for name in message.__dataclass_fields__:
        value = getattr(message, name)
        if hasattr(value, "__dataclass_fields__"):
            shape[name] = shape_of(value)
        elif isinstance(value, np.ndarray) and value.dtype != np.uint8:
            shape[name] = (value.dtype, value.shape)
        elif name in ("frame_id", "name", "format", "aline_bins", "horizon", "dim", "policy_id", "height", "width"):
            shape[name] = value
        else:
            shape[name] = type(value)
    return shape
