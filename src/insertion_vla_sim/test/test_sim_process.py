"""The `sim` process as a whole: wire rates, cameras, admin socket, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import zmq
from insertion_vla_core.kinematics import forward, load_arm
from insertion_vla_core.wire import camera_zmq, state_zmq
from insertion_vla_core.wire.force_udp import ForceDecoder
from simulated_lab import Lab, gone, ports_free, wait_until

HOST = "127.0.31.30"
VIEWS = ("front", "side", "hand")


@pytest.fixture(scope="module")
def lab():
    lab = Lab(HOST, "--seed", "5", "--framing", "split")
    yield lab
    code, out, err = lab.end(signal.SIGINT)
    assert code == 0 and err == "" and "real-time factor" in out


@pytest.fixture
def cameras(lab):
    """One bound PULL socket per view."""
    context = zmq.Context()
    pulls = {}
    for i, view in enumerate(VIEWS):
        pulls[view] = context.socket(zmq.PULL)
        pulls[view].setsockopt(zmq.RCVTIMEO, 5000)
        pulls[view].bind(f"tcp://{HOST}:{5561 + i}")
    yield pulls
    lab.do("clear_faults")
    context.destroy(linger=0)


def frame(pull: zmq.Socket) -> camera_zmq.Frame:
    return camera_zmq.decode(pull.recv_multipart(), 1_000_000)


def test_force_arrives_at_650_hz_without_loss(lab):
    decoder, stamps = ForceDecoder(), []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind((HOST, 9999))
        receiver.settimeout(2.0)
        while len(stamps) < 975:
            for record in decoder.feed(receiver.recv(65536)):
                stamps.append(record["timestamp"])
                assert -4.5 < record["force"] < -1.5
    assert decoder.counters["malformed"] == 0
    pace = lab.do("stats")["pace"]
    gaps = np.diff(stamps)
    # Even on a starved machine the gaps are whole periods: time is skipped, never squeezed.
    assert gaps * 650 == pytest.approx(np.round(gaps * 650), abs=1e-3)
    assert (gaps > 0.5 / 650).all()
    if pace["skipped_ticks"] == 0:
        assert gaps == pytest.approx(1 / 650, abs=2e-6)
    assert abs(stamps[-1] - time.time()) < 0.5


def test_three_cameras_at_five_hertz(lab, cameras):
    for view, pull in cameras.items():
        first = frame(pull)
        stamps = [frame(pull).timestamp_s for _ in range(4)]
        assert first.camera == view
        assert np.median(np.diff(stamps)) == pytest.approx(0.2, abs=0.05)
        image = cv2.imdecode(np.frombuffer(first.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (180, 320, 3) and image.std() > 10
        assert abs(stamps[-1] - time.time()) < 2.0


def test_camera_faults_are_seen_at_the_wire(lab, cameras):
    frame(cameras["side"])
    lab.do("fault", name="camera_freeze", view="side")
    frozen = [frame(cameras["side"]) for _ in range(4)][1:]
    assert len({f.jpeg for f in frozen}) == 1 and len({f.timestamp_s for f in frozen}) == 3
    lab.do("fault", name="camera_slow", view="front", period_s=1.0)
    lab.do("fault", name="camera_kill", view="hand")
    gap_s, last_s = 0.0, frame(cameras["front"]).timestamp_s
    for _ in range(20):  # what was under way when the fault came, at the old pace
        stamp_s = frame(cameras["front"]).timestamp_s
        gap_s, last_s = stamp_s - last_s, stamp_s
        if gap_s > 0.5:
            break
    assert gap_s == pytest.approx(1.0, abs=0.2)
    cameras["hand"].setsockopt(zmq.RCVTIMEO, 600)
    with pytest.raises(zmq.Again):
        for _ in range(20):
            frame(cameras["hand"])
    lab.do("clear_faults")
    cameras["hand"].setsockopt(zmq.RCVTIMEO, 5000)
    assert frame(cameras["hand"]).camera == "hand"


def test_robot_state_is_published_at_100_hz(lab):
    context = zmq.Context()
    try:
        subscriber = context.socket(zmq.SUB)
        subscriber.setsockopt(zmq.RCVTIMEO, 5000)
        subscriber.setsockopt(zmq.SUBSCRIBE, b"robot_state")
        subscriber.connect(f"tcp://{HOST}:5556")
        states = [state_zmq.decode(subscriber.recv_multipart()) for _ in range(101)]
    finally:
        context.destroy(linger=0)
    assert states[-1].send_s - states[0].send_s == pytest.approx(1.0, abs=0.3)
    expected = forward(load_arm("meca500"), states[0].joints)
    assert states[0].pose.position == pytest.approx(expected.position, abs=1e-5)
    assert 0.0 <= states[0].send_s - states[0].origin_s < 0.1


def test_reset_starts_the_same_episode_again_and_the_truth_names_its_target(lab):
    first = lab.do("reset", seed=11)
    truth = lab.do("truth", target="green")["truth"]
    assert truth["target"] == "green" and truth["success"] is False
    assert set(truth["trocars"]) == {"red", "green", "blue"}
    lab.do("reset", seed=12)
    assert lab.do("truth", target="green")["truth"]["trocars"] != truth["trocars"]
    assert lab.do("reset", seed=11) == first
    again = lab.do("truth", target="green")["truth"]
    assert again["trocars"]["green"]["mouth"] == pytest.approx(truth["trocars"]["green"]["mouth"], abs=1e-4)
    assert lab.do("reset", seed=11, randomisation="heldout")["randomisation"] == "heldout"
    lab.do("reset", seed=5, randomisation="train")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("what", "expected one JSON object per line"),
        ("[1]", "expected a JSON object, got list"),
        ("{}", "unknown cmd None"),
        ('{"cmd": "rest", "seed": 1}', "unknown cmd 'rest', did you mean reset"),
        ('{"cmd": "reset"}', "reset needs a seed"),
        ('{"cmd": "reset", "seed": -1}', "whole number from 0"),
        ('{"cmd": "reset", "seed": 1.5}', "whole number from 0"),
        ('{"cmd": "reset", "seed": true}', "whole number from 0"),
        ('{"cmd": "reset", "seed": 1, "sed": 2}', "reset has no field 'sed'"),
        ('{"cmd": "truth", "target": "pink"}', "target must be one of red, green, blue"),
        ('{"cmd": "fault"}', "unknown fault None"),
        ('{"cmd": "fault", "name": "force_silnt"}', "did you mean force_silent"),
        ('{"cmd": "fault", "name": "force_loss", "fraction": 3}', "fraction must be from 0 to 1"),
        ('{"cmd": "stats", "x": 1}', "stats has no field 'x'"),
    ],
)
def test_admin_refuses_with_a_sentence(lab, line, sentence):
    answer = lab.ask_raw(line)
    assert answer["ok"] is False and sentence in answer["error"]
    assert lab.ask("stats")["faults"] == {}


def test_every_fault_is_listed_and_can_be_set_and_cleared(lab):
    names = list(lab.do("faults")["faults"])
    quiet = [name for name in names if not name.startswith("robot_")]
    for name in quiet:
        lab.do("fault", name=name)
    assert set(lab.do("stats")["faults"]) == set(quiet)
    assert set(lab.do("clear_faults")["cleared"]) == set(quiet)
    assert lab.do("stats")["faults"] == {}


def test_silence_at_the_wire_is_timed(lab):
    lab.do("fault", name="force_silent")
    stats = lab.until(lambda s: s["force"]["faults"]["force_silent"] is not None)
    silent_s, last_s = stats["force"]["faults"]["force_silent"], stats["force"]["last_packet_s"]
    assert 0.0 <= silent_s - last_s < 0.05
    later = lab.until(lambda s: s["ticks"] > stats["ticks"] + 65)
    assert later["force"]["last_packet_s"] == last_s
    lab.do("clear_faults")
    lab.until(lambda s: s["force"]["last_packet_s"] > last_s)


def test_a_second_simulation_on_the_same_address_says_so(lab):
    second = subprocess.run(
        [sys.executable, "-m", "insertion_vla_sim.main_sim", "--host", HOST], capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 1
    assert f"cannot listen on {HOST}:10000" in second.stderr and "Traceback" not in second.stderr
    assert lab.do("stats")["ticks"] > 0


def shared_memory() -> set[str]:
    """Named shared memory, less that of DDS processes that may run beside the tests."""
    return {name for name in os.listdir("/dev/shm") if "fast" not in name}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, None])
def test_a_clean_end_leaves_nothing(how):
    before = shared_memory()
    lab = Lab("127.0.31.31")
    renderer = lab.renderers()
    assert len(renderer) == 1
    if how is None:
        lab.do("shutdown")
    code, out, err = lab.end(how)
    assert code == 0 and err == ""
    assert gone(renderer[0]) and ports_free("127.0.31.31") and shared_memory() <= before


def test_the_renderer_dies_with_a_killed_simulation():
    before = shared_memory()
    lab = Lab("127.0.31.32")
    renderer = lab.renderers()
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.setsockopt(zmq.RCVTIMEO, 20000)
        pull.bind("tcp://127.0.31.32:5561")
        frame(pull)  # it is past its start
    code, _, _ = lab.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert wait_until(lambda: gone(renderer[0]), 5.0)
    assert ports_free("127.0.31.32") and shared_memory() <= before


def test_a_killed_renderer_silences_the_cameras_only():
    lab = Lab("127.0.31.33")
    os.kill(lab.renderers()[0], signal.SIGKILL)
    ticks = lab.do("stats")["ticks"]
    lab.until(lambda stats: stats["ticks"] > ticks + 200)
    code, _, err = lab.end()
    assert code == 0 and "the cameras are silent" in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "10.0.0.1"], "expected a loopback address 127.x.y.z, got 10.0.0.1"),
        (["--host", "here"], "expected an address 127.x.y.z, got 'here'"),
        (["--framing", "odd"], "invalid choice: 'odd'"),
        (["--seed", "-1"], "expected a whole number from 0"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    run = subprocess.run(
        [sys.executable, "-m", "insertion_vla_sim.main_sim", *options], capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 2 and sentence in run.stderr


def test_a_window_without_a_display_is_refused():
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    run = subprocess.run(
        [sys.executable, "-m", "insertion_vla_sim.main_sim", "--host", "127.0.31.34", "--viewer"],
        capture_output=True, text=True, timeout=30, env=environment,
    )  # fmt: skip
    assert run.returncode == 1
    assert "--viewer needs a display" in run.stderr and "Traceback" not in run.stderr
    assert ports_free("127.0.31.34")


def test_a_video_of_all_views_is_recorded(tmp_path):
    """Also by a second renderer that is pointed at a running simulation."""
    lab = Lab("127.0.31.35", "--video", str(tmp_path / "own.gif"))
    renderer = [sys.executable, "-m", "insertion_vla_sim.main_render", "--host", "127.0.31.35"]
    guest = subprocess.Popen([*renderer, "--video", str(tmp_path / "guest.mp4")])
    idle = subprocess.run(renderer, capture_output=True, text=True, timeout=30)
    assert idle.returncode == 1 and "expected --video or --viewer" in idle.stderr
    ticks = lab.do("stats")["ticks"]
    lab.until(lambda stats: stats["ticks"] > ticks + 1300, timeout_s=10.0)
    guest.send_signal(signal.SIGINT)
    assert guest.wait(timeout=20.0) == 0
    assert lab.end()[0] == 0
    for name in ("own.gif", "guest.mp4"):
        video = cv2.VideoCapture(str(tmp_path / name))
        good, picture = video.read()
        assert good and picture.shape == (180, 960, 3), name
        video.release()


@pytest.mark.parametrize("name", ["film.avi", "nowhere/film.gif"])
def test_a_video_that_cannot_be_written_ends_the_simulation(tmp_path, name):
    run = subprocess.run(
        [sys.executable, "-m", "insertion_vla_sim.main_sim", "--host", "127.0.31.36", "--video", str(tmp_path / name)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert run.returncode == 1 and "sim_render: expected" in run.stderr and "Traceback" not in run.stderr
