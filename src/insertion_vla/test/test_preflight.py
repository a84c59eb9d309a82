"""`preflight` as people run it, against the simulation's process: all is well, or each fault has its row and fix."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
import zmq
from emulator import ADMIN_PORT, running
from insertion_vla.free_addresses import bind_error
from insertion_vla.paths import config_file
from insertion_vla_core.wire.camera_zmq import encode
from insertion_vla_policy.registry import checkpoint_folder
from launch.actions import DeclareLaunchArgument
from launch.launch_context import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource

from insertion_vla import preflight

ROOT = Path(__file__).resolve().parents[3]
DOMAIN, HOST, SIM_HOST, NOBODY = "63", "127.0.63.1", "127.0.63.2", "127.0.63.3"
VIEWS = {"front": 5561, "side": 5562, "hand": 5563}
ROWS = [
    *("parameters", "ports", "robot", "robot state", "camera front", "camera side", "camera hand"),
    *("force rate", "force noise", "force buffer", "network", "DDS domain", "DDS names", "clock", "clock drift"),
    *("disk", "checkpoint", "contract", "backbone", "GPU"),
]


def lab_file(path: Path, changes: dict[str, dict] | None = None) -> Path:
    """params.yaml for devices at HOST, with changes by node."""
    content = yaml.safe_load(config_file("params.yaml").read_text().replace("127.0.0.1", HOST))
    for node, values in (changes or {}).items():
        content[f"/**/{node}"]["ros__parameters"].update(values)
    path.write_text(yaml.safe_dump(content))
    return path


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return subprocess.run(shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def table(output: str) -> dict[str, tuple[str, str]]:
    """(word, everything below it) by row."""
    text = re.sub(r"\n {8,}", " ", output)
    rows = re.findall(r"^  (ok|warn|FIX|-) +(\S+(?: \S+)?)  +(.*)$", text, re.MULTILINE)
    return {name: (word, rest) for word, name, rest in rows}


@pytest.fixture(scope="module")
def devices() -> Iterator[None]:
    """Robot and force sensor of the simulation at HOST, and three cameras at their contract's rate."""
    stop = threading.Event()
    cameras = threading.Thread(target=push, args=(stop,))
    with running(HOST):
        cameras.start()
        try:
            yield
        finally:
            stop.set()
            cameras.join()


def push(stop: threading.Event) -> None:
    context = zmq.Context()
    sockets = {view: context.socket(zmq.PUSH) for view in VIEWS}
    for view, sender in sockets.items():
        sender.setsockopt(zmq.LINGER, 0)
        sender.setsockopt(zmq.SNDHWM, 1)
        sender.connect(f"tcp://{HOST}:{VIEWS[view]}")
    number = 0
    while not stop.wait(0.2):
        number += 1
        jpeg = cv2.imencode(".jpg", np.full((180, 320, 3), number * 7 % 250, np.uint8))[1].tobytes()
        for view, sender in sockets.items():
            if sender.poll(0, zmq.POLLOUT):
                sender.send_multipart(encode(view, 1000.0 + number * 0.2, jpeg))
    for sender in sockets.values():
        sender.close()
    context.term()


def test_every_command_of_the_page_runs_and_all_is_well(tmp_path: Path, devices: None) -> None:
    lab_file(tmp_path / "my_lab.yaml")
    page = (ROOT / "docs" / "preflight.md").read_text()
    sim, robot = (line.split("#")[0] for line in page.splitlines() if line.startswith("ros2 run "))
    for command in (f"{sim} host:={SIM_HOST}", robot):
        done = run(tmp_path, command)
        found = table(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(found) == ROWS, done.stdout
        assert not [name for name, (word, _) in found.items() if word == "FIX"]
        assert found["robot"][0] == "ok" and "firmware 11.3.5" in found["robot"][1]
        assert "motors off, no error" in found["robot state"][1]
        assert re.search(r"\d Hz, 320x180 \(contract 5 Hz, 320x180\)", found["camera hand"][1])
        assert re.match(r"6[45]\d\.\d Hz over \d\.\d s, \d+ of 1\d\d\d samples lost", found["force rate"][1])
        assert found["checkpoint"][1].startswith("diffusion-nano in ") and found["GPU"][0] == "-"
        assert not re.search("Traceback|WARN|ERROR", done.stderr), done.stderr
    assert bind_error(SIM_HOST, ADMIN_PORT, socket.SOCK_STREAM) == 0, "the simulation was left behind"
    report = json.loads((tmp_path / "preflight.json").read_text())
    assert report["exit_code"] == 0 and [row["check"] for row in report["checks"]] == ROWS
    explained = re.findall(r"^\| ([^|]+?) \|", page.split("| row |")[1], re.MULTILINE)
    shown = {"camera" if name.startswith("camera") else name for name in ROWS} | {"middleware"}
    assert {name for row in explained for name in row.split(", ")} == shown, "the page explains every row"


def test_faults_each_have_a_row_and_a_fix(tmp_path: Path, devices: None) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(checkpoint_folder("diffusion"), policy)
    weights = policy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    lab_file(
        tmp_path / "broken.yaml",
        {
            "arm": {"meca500": {"address": NOBODY}},
            "force_sensor": {"bind_address": NOBODY, "sender_address": NOBODY},  # where nobody sends to
            "episode": {"min_free_gb": 10_000.0},
            "action_expert": {"run": {"device": "cuda"}},
        },
    )
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the test before used it too
        taken.bind((HOST, VIEWS["hand"]))
        taken.listen()
        done = run(
            tmp_path,
            "ros2 run insertion_vla preflight hardware:=meca500 params_file:=broken.yaml json:=out.json "
            f"policy:={policy}",
        )
    assert done.returncode == 1, done.stdout + done.stderr
    found = table(done.stdout)
    for name, *words in (
        ("robot", f"no Meca500 at {NOBODY}:10000", "fix: switch the robot's controller on"),
        ("force rate", f"silent: no datagram at UDP {NOBODY}:9999", "fix: switch the sensor on"),
        ("ports", f"TCP {HOST}:5563 for camera_hand is in use by", f"(process {os.getpid()})", "fix: end "),
        ("camera hand", f"cannot bind tcp://{HOST}:5563", "fix: put right camera_hand.device"),
        ("checkpoint", "model.safetensors", "MODEL_CARD.md says, got another", "fix: copy the whole folder again"),
        ("disk", "the recorder's floor is 10000 GB", "fix: free some space"),
    ):
        assert found[name][0] == "FIX" and all(word in found[name][1] for word in words), (name, found[name])
    assert found["camera front"][0] == "ok"
    import torch

    assert (found["GPU"][0] == "FIX") != torch.cuda.is_available()
    told = {row["check"]: row["verdict"] for row in json.loads((tmp_path / "out.json").read_text())["checks"]}
    assert {name for name, verdict in told.items() if verdict == "fix"} == {
        name for name, (word, _) in found.items() if word == "FIX"
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hardwar:=meca500"], "unknown argument 'hardwar'; known are hardware, .* did you mean 'hardware'"),
        (["hardware:=mecca500"], "hardware: expected one of sim, meca500, ros2_control, got 'mecca500'"),
        (["policy:=difusion"], "policy: expected one of .* did you mean 'diffusion'"),
        (["hardware:=meca500", "policy:=scripted"], "needs hardware:=sim"),
        (["params_file:=none.yaml"], "params_file: expected a parameter file, found none at none.yaml"),
        (["json:=/no/such/folder/out.json"], "json: expected FILE in an existing folder"),
        (["sim"], "expected name:=value, got 'sim'"),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["preflight", *arguments])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert preflight.main() == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert re.search(sentence, capsys.readouterr().err)


def test_a_middleware_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "env RMW_IMPLEMENTATION=rmw_nothing ros2 run insertion_vla preflight")
    assert done.returncode == 1 and done.stdout.count("FIX") == 1
    word, text = table(done.stdout)["middleware"]
    assert word == "FIX" and "RMW_IMPLEMENTATION=rmw_nothing is not installed, only rmw_" in text
    assert "fix: unset RMW_IMPLEMENTATION" in text


def test_a_person_can_stop_it_and_the_simulation_ends_too(tmp_path: Path) -> None:
    environment = {**os.environ, "ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    process = subprocess.Popen(
        ["ros2", "run", "insertion_vla", "preflight", f"host:={SIM_HOST}"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    while bind_error(SIM_HOST, ADMIN_PORT, socket.SOCK_STREAM) == 0:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and "Preflight" not in output
    assert bind_error(SIM_HOST, ADMIN_PORT, socket.SOCK_STREAM) == 0


def test_the_arguments_and_their_defaults_are_those_of_the_launch() -> None:
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / "inference.launch.py"))
    entities = source.get_launch_description(LaunchContext()).entities
    declared = {
        entity.name: "".join(part.perform(LaunchContext()) for part in entity.default_value)
        for entity in entities
        if isinstance(entity, DeclareLaunchArgument)
    }
    ours = {name: value for name, value in preflight.ARGUMENTS.items() if name not in ("json", "params_file")}
    assert ours == {name: declared[name] for name in ours}
    assert config_file("params.yaml") == Path(declared["params_file"])
