"""The checks of `preflight` one by one, against real devices' faults, a real ROS domain and real files."""

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ros_graph import Graph, open_graph  # isort: skip  (sets the environment before rclpy is imported)
import numpy as np
import yaml
from emulator import Emulator, running
from insertion_vla.cameras.frame import Frame
from insertion_vla.nodes.force_sensor import ForceSensorNode, Parameters
from insertion_vla.paths import config_file
from insertion_vla.preflight import ARGUMENTS
from insertion_vla.preflight_checks import cameras, clocks, dds, ports, runner
from insertion_vla.preflight_checks.checkpoint import check_checkpoint
from insertion_vla.preflight_checks.disk import check_disk
from insertion_vla.preflight_checks.finding import Finding, NotDone
from insertion_vla.preflight_checks.force import check_force, judge_noise
from insertion_vla.preflight_checks.meca500 import check_meca500
from insertion_vla.preflight_checks.parameter_file import read_parameters
from insertion_vla.preflight_checks.robot import check_robot
from insertion_vla.preflight_checks.selection import Selection, check_parameters, select
from insertion_vla_policy.registry import checkpoint_folder
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

DOMAIN, HOST = 64, "127.0.63.11"


def selection(tmp_path: Path, changes: dict[str, dict[str, Any]] | None = None, **arguments: str) -> Selection:
    """A launch on devices at HOST, with parameters changed by node."""
    content = yaml.safe_load(config_file("params.yaml").read_text().replace("127.0.0.1", HOST))
    for node, values in (changes or {}).items():
        content[f"/**/{node}"]["ros__parameters"].update(values)
    file = tmp_path / "lab.yaml"
    file.write_text(yaml.safe_dump(content))
    return select({**ARGUMENTS, "hardware": "meca500", "params_file": str(file), **arguments})


def refused(row: Finding, *words: str) -> None:
    assert row.verdict == "fix" and all(word in f"{row.result} fix: {row.fix}" for word in words), row


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running(HOST) as emulator:
        yield emulator


# The robot.


def test_a_robot_that_another_program_controls_says_so(emulator: Emulator) -> None:
    with socket.create_connection((HOST, 10000)) as other:
        assert b"Connected" in other.recv(1000)
        control, state = check_meca500(HOST)
    refused(control, f"{HOST}:10000 is taken: Another user", "fix: end the other program")
    assert state.verdict == "ok" and "motors off" in state.result


def test_looking_at_the_robot_moves_and_activates_nothing(emulator: Emulator) -> None:
    before = emulator.wait(lambda stats: stats["robot"]["controlled_by"] is None)
    control, _ = check_meca500(HOST)
    assert control.verdict == "ok" and control.result.startswith("Meca500 R4-virtual")
    after = emulator.wait(lambda stats: stats["robot"]["controlled_by"] is None)
    assert after["robot"]["velocity_commands"] == before["robot"]["velocity_commands"]
    assert after["robot"]["monitoring_interval_s"] == before["robot"]["monitoring_interval_s"]
    assert not after["arm"]["moving"] and "motors off" in check_meca500(HOST)[1].result


def test_emergency_stop_silence_and_a_refusing_robot_are_told(emulator: Emulator) -> None:
    try:
        emulator.admin("fault", name="robot_estop")
        state = check_meca500(HOST)[1]
        assert state.verdict == "warning" and "emergency stop pressed" in state.result and "release it" in state.fix
        emulator.admin("fault", name="robot_silent")
        refused(check_meca500(HOST)[1], "sends no states", "restart the robot's controller")
        emulator.admin("fault", name="robot_tcp_drop", after="refuse")
        with pytest.raises(NotDone, match=f"{HOST}:10000 hangs up at once"):
            check_meca500(HOST)
    finally:
        emulator.admin("clear_faults")


def test_an_error_of_the_robot_is_not_reset_but_told(emulator: Emulator) -> None:
    emulator.admin("fault", name="robot_motion_error")
    try:
        refused(check_meca500(HOST)[1], "in error", "find out why")
        refused(check_meca500(HOST)[1], "in error", "find out why")
    finally:
        emulator.admin("clear_faults")
        with socket.create_connection((HOST, 10000)) as client:
            client.sendall(b"ResetError\0")
            while b"[2005]" not in client.recv(1000):
                pass


def test_an_arm_under_ros2_control_needs_its_states_and_a_controller(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    with open_graph(DOMAIN) as graph, joint_states(graph, [f"joint_{k}" for k in range(1, 7)]):
        robot, controller = check_robot(selection(tmp_path, hardware="ros2_control"))
        assert robot.verdict == "ok" and re.match(r"\d+ Hz of joint states on /joint_states", robot.result)
        refused(controller, "nobody listens to /joint_trajectory_controller/", "activate the joint_trajectory")
        graph.call(
            lambda: graph.node.create_subscription(
                JointTrajectory, "/joint_trajectory_controller/joint_trajectory", print, 1
            )
        )
        odd = selection(tmp_path, {"arm": {"ros2_control.joints": ["joint_1", "elbow"]}}, hardware="ros2_control")
        robot, controller = check_robot(odd)
        refused(robot, "/joint_states has no joint elbow", "correct arm.ros2_control.joints")
        assert controller.verdict == "ok"


class joint_states:  # noqa: N801
    """A joint_state_broadcaster at 100 Hz."""

    def __init__(self, graph: Graph, names: list[str]) -> None:
        publisher = graph.call(lambda: graph.node.create_publisher(JointState, "/joint_states", 10))
        message = JointState(name=names, position=[0.0] * len(names))
        self._stop = threading.Event()

        def run() -> None:
            while not self._stop.wait(0.01):
                publisher.publish(message)

        self._thread = threading.Thread(target=run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


# The force sensor.


def test_a_silent_sensor_and_one_at_another_address_are_told_apart(tmp_path, emulator: Emulator) -> None:
    refused(check_force(selection(tmp_path, {"force_sensor": {"sender_address": "127.0.63.12"}}))[0],
            "all from other addresses", "set force_sensor.sender_address")  # fmt: skip
    try:
        emulator.admin("fault", name="force_silent")
        refused(check_force(selection(tmp_path))[0], f"silent: no datagram at UDP {HOST}:9999", "switch the sensor on")
    finally:
        emulator.admin("clear_faults")


def test_losses_and_a_wrong_baseline_are_measured(tmp_path, emulator: Emulator) -> None:
    try:
        emulator.admin("fault", name="force_loss", fraction=0.05)
        rate, noise, buffer = check_force(
            selection(tmp_path, {"force_sensor": {"tare.baseline": -1.0, "receive_buffer_bytes": 1 << 28}})
        )
    finally:
        emulator.admin("clear_faults")
    refused(rate, "samples lost", "use a cable of its own")
    share = float(re.search(r"\((\d+\.\d)%\)", rate.result)[1])
    assert 2.0 < share < 9.0
    refused(noise, "the free sensor should read -1 +- 0.25", "set force_sensor.tare.baseline to -")
    if os.geteuid():  # root is granted what it asks for
        assert buffer.verdict == "warning" and "sysctl -w net.core.rmem_max=268435456" in buffer.fix


def test_noise_scale_and_alines_are_judged() -> None:
    rng = np.random.default_rng(0)
    quiet, alines = rng.normal(-3.0, 0.02, 1300), rng.normal(50.0, 45.0, (2, 1025))
    p = Parameters(scale_n_per_unit=0.5)
    good = judge_noise(p, quiet, alines)
    assert good.verdict == "ok" and re.match(r"axial: mean -3\.\d+, std 0\.0\d+ sensor units = \d+\.\d mN", good.result)
    refused(judge_noise(p, quiet + np.sin(np.arange(1300)), alines), "(bound 0.05)", "let the arm stand still")
    refused(judge_noise(p, np.full(1300, -3.0), alines), "the value never changes", "restart the sensor")
    refused(judge_noise(Parameters(), quiet, alines), "no scale", "set force_sensor.scale_n_per_unit")
    dark = judge_noise(p, quiet, np.zeros((2, 1025)))
    assert dark.verdict == "warning" and "the A-lines are flat" in dark.result and "light source" in dark.fix


# Cameras, from folders of pictures.


def test_size_rate_and_frozen_pictures_are_against_the_contract(tmp_path: Path) -> None:
    folders = {"front": (90, 5.0, 1), "side": (180, 1.5, 1), "hand": (180, 5.0, 0)}
    changes = {}
    for view, (height, rate_hz, step) in folders.items():
        write_pictures(tmp_path / view, height, step)
        changes[f"camera_{view}"] = {"driver": "folder", "device": str(tmp_path / view), "rate_hz": rate_hz}
    launch = selection(tmp_path, changes)
    checks = [runner.Check(view, 10.0, partial(cameras.check_camera, launch, view)) for view in folders]
    front, side, hand = runner.run_checks(checks, lambda names: None)
    refused(front, "320x90 (contract 5 Hz, 320x180)", "set the camera (or camera_front.width and height) to 320x180")
    refused(side, "no new frame for", "check the cable of camera_side")
    refused(hand, "'hand' is frozen", "check the cable of camera_hand")


def write_pictures(folder: Path, height: int, step: int) -> None:
    import cv2

    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02}.jpg"), np.full((height, 320, 3), 10 + 5 * step * number, np.uint8))


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    none = {"driver": "opencv", "device": "/dev/video97"}
    rows = cameras.check_camera(selection(tmp_path, {"camera_hand": none}), "hand")
    refused(rows[0], "cannot open camera '/dev/video97'", "put right camera_hand.device")


def test_pixels_have_a_size_too() -> None:
    assert cameras._size(Frame(0, pixels=np.zeros((48, 64, 3), np.uint8))) == (64, 48)


# Files.


def test_another_contract_is_told_with_its_differences(tmp_path: Path) -> None:
    contract = tmp_path / "mine.yaml"
    contract.write_text(config_file("contracts/insertion.yaml").read_text().replace("rate_hz: 650.0", "rate_hz: 500.0"))
    rows = check_checkpoint(selection(tmp_path, {"action_expert": {"contract_file": str(contract)}}))
    assert [row.verdict for row in rows] == ["ok", "fix", "ok"]
    refused(rows[1], "force.rate_hz: 650.0 against 500.0", "set action_expert.contract_file to ", "contract.yaml")


def test_missing_files_and_other_views_are_told(tmp_path: Path) -> None:
    refused(check_checkpoint(selection(tmp_path, cameras="front,hand"))[2],
            "trained with the views front,side,hand", "cameras:=front,side,hand")  # fmt: skip
    policy = tmp_path / "policy"
    shutil.copytree(checkpoint_folder("regression"), policy)
    (policy / "backbone" / "model.safetensors").unlink()
    refused(check_checkpoint(selection(tmp_path, policy=str(policy)))[0], "expected backbone/model.safetensors", "copy")
    (policy / "MODEL_CARD.md").unlink()
    refused(check_checkpoint(selection(tmp_path, policy=str(policy)))[0], "expected MODEL_CARD.md in", "copy")
    assert check_checkpoint(selection(tmp_path, policy="visual_servo"))[0].result == "'visual_servo' has no files"


def test_a_folder_that_cannot_be_written_is_no_place_for_recordings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(check_disk(selection(tmp_path, record=str(tmp_path / "file" / "bags")))[0], "cannot be written", "record:=")
    assert check_disk(selection(tmp_path, record=str(tmp_path / "a" / "b")))[0].verdict == "ok"


@pytest.mark.parametrize("namespace", ["", "lab/left"])
def test_parameters_are_read_as_the_node_reads_them(tmp_path: Path, namespace: str) -> None:
    sections = {
        "/**": {"slow_rate_hz": 5.0, "receive_buffer_bytes": 70000, "tare": {"baseline": 600}},
        "force_sensor": {"port": 9001},
        "/lab/**/force_sensor": {"port": 9002, "tare": {"window_s": 0.5}},
        "/*/*/force_sensor": {"rate_hz": 601.0},
        "/*/force_sensor": {"rate_hz": 602.0},
        "/other/force_sensor": {"port": 9004},
    }
    file = tmp_path / "params.yaml"
    text = yaml.safe_dump({key: {"ros__parameters": v} for key, v in sections.items()}, sort_keys=False)
    file.write_text(text.replace("600", "6e2"))
    with open_graph(DOMAIN) as graph:
        arguments = ["--ros-args", "--params-file", str(file)]
        node = graph.call(lambda: ForceSensorNode(context=graph.context, namespace=f"/{namespace}", cli_args=arguments))
        wanted = node._parameter_set.load()
        graph.call(node.destroy_node)
    name = f"/{namespace}/force_sensor".replace("//", "/")
    assert read_parameters(file, name, ForceSensorNode.Parameters, {}) == wanted
    assert wanted.port == (9002 if namespace else 9001) and wanted.slow_rate_hz == 5.0


def test_wrong_parameters_are_named_and_what_needs_them_says_so(tmp_path: Path) -> None:
    wrong = selection(tmp_path, {"force_sensor": {"prt": 1}, "task": {"dwell_s": -1.0}})
    rows = check_parameters(wrong)
    refused(rows[0], "'prt' is unknown to /force_sensor; did you mean 'port'", "correct ", "lab.yaml")
    refused(rows[1], "/task: parameter 'dwell_s' = -1.0: expected a finite number at least 0")
    with pytest.raises(NotDone, match="the parameters of 'force_sensor' are wrong"):
        check_force(wrong)


# The machine and its ROS domain.


def test_an_address_of_another_machine_cannot_be_bound(tmp_path: Path) -> None:
    away = {"camera_hand": {"device": "tcp://192.0.2.77:5563"}}
    rows = ports.check_ports(selection(tmp_path, away, hosts="cameras"))
    refused(rows[0], "TCP 192.0.2.77:5563 for camera_hand: 192.0.2.77 is no address of this machine", "ip addr")
    assert ports.check_ports(selection(tmp_path, hosts="inference"))[0].verdict == "skipped"


def test_nodes_of_the_same_names_in_the_domain_are_found(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    with open_graph(DOMAIN) as graph:
        node = graph.call(lambda: Node("arm", context=graph.context, namespace="/lab"))
        domain, names = dds.check_dds(selection(tmp_path, namespace="lab", hosts="robot,sensor"))
        graph.call(node.destroy_node)
    refused(domain, f"domain {DOMAIN}, rmw_", "LOCALHOST", "export ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET")
    refused(names, "already in this domain: /lab/arm", "end the other launch")


@pytest.mark.parametrize("number", ["two", "233", "-1"])
def test_a_domain_that_does_not_exist_is_refused(tmp_path, monkeypatch, number: str) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", number)
    with pytest.raises(NotDone, match=f"ROS_DOMAIN_ID={number} is no whole number from 0 to 232"):
        dds.check_dds(selection(tmp_path))


def test_clocks_matter_more_between_machines() -> None:
    assert clocks.judge_synchronisation(True, 0.001, split=True).verdict == "ok"
    alone = clocks.judge_synchronisation(False, 16.0, split=False)
    assert alone.verdict == "warning" and "timedatectl set-ntp true" in alone.fix
    refused(clocks.judge_synchronisation(False, 16.0, split=True), "other machines take part")
    assert clocks.judge_synchronisation(True, 0.2, split=True).verdict == "warning"
    assert clocks.judge_drift(0.0002).verdict == "ok"
    refused(clocks.judge_drift(-1.5), "-1500.00 ms", "check again")


def test_a_check_that_hangs_or_breaks_is_a_row_and_holds_nobody_up() -> None:
    released = threading.Event()

    def hang() -> list[Finding]:
        released.wait(20.0)
        return []

    def fail() -> list[Finding]:
        raise OSError("the plug is out")

    began_s = time.monotonic()
    waited: list[tuple[str, ...]] = []
    checks = [runner.Check("slow", 0.3, hang), runner.Check("broken", 5.0, fail)]
    checks.append(runner.Check("good", 5.0, lambda: [Finding("good", "ok", "fine")]))
    slow, broken, good = runner.run_checks(checks, lambda names: waited.append(tuple(names)))
    released.set()
    assert time.monotonic() - began_s < 5.0
    refused(slow, "no answer within 0.3 s", "then check again")
    refused(broken, "not checked: the plug is out")
    assert good.verdict == "ok" and ("slow",) in waited
