"""The Meca500 emulator as the manufacturer's unmodified client sees it, over TCP, in real time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from mecademicpy.mx_robot_def import MxRobotStatusCode
from mecademicpy.robot import Robot
from mecademicpy.robot_classes import CommunicationError, DisconnectError, RobotCallbacks
from simulated_lab import Lab

HOST = "127.0.31.10"
WAIT_S = 5.0
# Velocity timeout plus the deceleration of the arm from 20 mm/s, plus what a busy machine may add.
STOP_S = 0.15

CLIENT = """
import sys
from mecademicpy.robot import Robot
robot = Robot()
robot.Connect(sys.argv[1])
robot.SetVelTimeout(1.0)
if sys.argv[2] != "0":
    robot.ConnectionWatchdog(float(sys.argv[2]))
robot.SetJointVel(5)
q = robot.GetRtTargetJointPos(synchronous_update=True)
robot.MoveJoints(q[0] + 60, *q[1:])
print("moving", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def lab():
    lab = Lab(HOST)
    yield lab
    code, _, err = lab.end()
    assert code == 0 and err == ""


@pytest.fixture
def robot(lab):
    """A homed robot without faults at its start pose."""
    lab.do("clear_faults")
    lab.do("reset", seed=3)
    lab.until(lambda stats: stats["robot"]["controlled_by"] is None)
    robot = Robot()
    robot.Connect(HOST, disconnect_on_exception=False)
    robot.ResetError()
    make_ready(robot)
    yield robot
    robot.Disconnect()


def make_ready(robot: Robot) -> None:
    robot.ActivateRobot()
    robot.Home()
    robot.WaitHomed(timeout=WAIT_S)
    robot.ClearMotion()
    robot.WaitMotionCleared(timeout=WAIT_S)
    robot.ResumeMotion()
    robot.WaitMotionResumed(timeout=WAIT_S)


def joints(robot: Robot) -> np.ndarray:
    return np.array(robot.GetRtJointPos(synchronous_update=True, timeout=WAIT_S))


def pose(robot: Robot) -> np.ndarray:
    return np.array(robot.GetRtCartPos(synchronous_update=True, timeout=WAIT_S))


def stream_velocity(robot: Robot, lab: Lab, seconds: float, up_mm_s: float = 20.0) -> None:
    """Velocity commands at the pace of the admin socket's answers, at most 100 Hz."""
    pace = threading.Event()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        robot.MoveLinVelWrf(0.0, 0.0, up_mm_s, 0.0, 0.0, 0.0)
        pace.wait(0.01)


def test_connect_identifies_the_robot(robot):
    info = robot.GetRobotInfo()
    assert (info.model, info.revision, info.is_virtual, info.num_joints) == ("Meca500", 4, True, 6)
    assert info.rt_message_capable and info.rt_on_ctrl_port_capable
    status = robot.GetStatusRobot(synchronous_update=True)
    assert status.activation_state and status.homing_state and not status.error_status and status.end_of_block_status


def test_a_second_client_is_refused(robot):
    with socket.create_connection((HOST, 10000), timeout=WAIT_S) as second:
        assert second.makefile("rb").read().startswith(b"[3001][")


def test_deactivation_and_activation_are_reported(robot):
    robot.DeactivateRobot()
    robot.WaitDeactivated(timeout=WAIT_S)
    assert robot.GetStatusRobot().brakes_engaged
    make_ready(robot)
    assert robot.GetStatusRobot().homing_state


def test_joint_and_linear_moves_arrive(robot):
    target = joints(robot) + [8.0, -3.0, 2.0, 0.0, -5.0, 10.0]
    robot.MoveJoints(*target)
    robot.SetCheckpoint(42).wait(timeout=WAIT_S)
    assert joints(robot) == pytest.approx(target, abs=0.01)
    goal = pose(robot) + [3.0, -4.0, -5.0, 0.0, 0.0, 0.0]
    robot.MoveLin(*goal)
    robot.WaitIdle(timeout=WAIT_S)
    assert pose(robot)[:3] == pytest.approx(goal[:3], abs=0.02)
    robot.MovePose(*(goal + [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))
    robot.WaitIdle(timeout=WAIT_S)
    assert pose(robot)[:3] == pytest.approx(goal[:3] + 1.0, abs=0.02)


def test_the_pose_is_that_of_the_tool_frame(robot, lab):
    flange = pose(robot)
    robot.SetTrf(0.0, 0.0, 100.0, 0.0, 0.0, 0.0)
    robot.SetCheckpoint(1).wait(timeout=WAIT_S)
    tip = pose(robot)
    assert np.linalg.norm(tip[:3] - flange[:3]) == pytest.approx(100.0, abs=0.01)
    robot.MoveLinRelTrf(0.0, 0.0, -4.0, 0.0, 0.0, 0.0)
    robot.WaitIdle(timeout=WAIT_S)
    moved = pose(robot)[:3] - tip[:3]
    assert moved == pytest.approx((flange[:3] - tip[:3]) * 0.04, abs=0.02)


def test_monitoring_keeps_its_rate_on_both_ports(robot):
    """200 cycles per second asked for; each of two clients gets more than 150 with stamps that advance evenly."""
    robot.SetRealTimeMonitoring("JointPos", "JointVel", "CartPos")
    robot.SetMonitoringInterval(0.005)
    monitor, stamps, enough = Robot(), [], threading.Event()

    def cycle() -> None:
        stamps.append(monitor.GetRobotRtData().rt_target_joint_pos.timestamp)
        if len(stamps) == 150:
            enough.set()

    callbacks = RobotCallbacks()
    callbacks.on_end_of_cycle = cycle
    monitor.RegisterCallbacks(callbacks, run_callbacks_in_separate_thread=True)
    started_s = time.monotonic()
    monitor.Connect(HOST, monitor_mode=True)
    try:
        assert enough.wait(WAIT_S)
    finally:
        monitor.Disconnect()
        robot.SetMonitoringInterval(0.01)
    assert 150 / (time.monotonic() - started_s) > 100
    assert np.median(np.diff(stamps[10:])) == pytest.approx(5000, abs=1600)
    own = robot.GetRtJointPos(include_timestamp=True)
    assert own.timestamp > stamps[0] and own.data == pytest.approx(list(joints(robot)), abs=1e-3)


def test_velocity_mode_moves_and_its_timeout_stops_the_arm(robot, lab):
    start = pose(robot)
    robot.SetVelTimeout(0.05)
    stream_velocity(robot, lab, 0.5)
    stats = lab.until(lambda stats: not stats["arm"]["moving"])
    assert 5.0 < pose(robot)[2] - start[2] < 12.0
    assert stats["robot"]["stop_s"] is None  # nobody asked for it
    assert 0.04 < stats["arm"]["standstill_s"] - stats["robot"]["last_motion_s"] < 0.05 + STOP_S


def test_a_zero_velocity_stops_at_once_and_is_seen_on_the_wire(robot, lab):
    robot.SetVelTimeout(1.0)
    stream_velocity(robot, lab, 0.3)
    robot.MoveLinVelWrf(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    stats = lab.until(lambda stats: stats["robot"]["stop_s"] is not None and not stats["arm"]["moving"])
    assert stats["robot"]["stop_command"].startswith("MoveLinVelWrf")
    assert 0.0 < stats["arm"]["standstill_s"] - stats["robot"]["stop_s"] < STOP_S


@pytest.mark.parametrize(("how", "watchdog_s"), [(signal.SIGKILL, 0), (signal.SIGKILL, 0.2), (signal.SIGSTOP, 0.2)])
def test_the_arm_stops_when_its_client_dies_or_hangs(lab, robot, how, watchdog_s):
    robot.Disconnect()
    lab.until(lambda stats: stats["robot"]["controlled_by"] is None)
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, HOST, str(watchdog_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert client.stdout is not None and client.stdout.readline() == b"moving\n"
        lab.until(lambda stats: stats["arm"]["tip_speed_m_s"] > 0.01)
        killed_s = time.monotonic()
        os.kill(client.pid, how)
        stats = lab.until(lambda stats: not stats["arm"]["moving"])
        assert stats["arm"]["standstill_s"] - killed_s < watchdog_s + 0.3
        assert stats["robot"]["paused"] and stats["robot"]["controlled_by"] is None
    finally:
        client.kill()
        client.communicate()
    robot.Connect(HOST, disconnect_on_exception=False)
    assert robot.GetSafetyStatus(synchronous_update=True).stop_mask & 0x400
    assert joints(robot) == pytest.approx(joints(robot), abs=1e-4)
    robot.ClearMotion()
    robot.WaitMotionCleared(timeout=WAIT_S)
    robot.ResumeMotion()
    robot.WaitMotionResumed(timeout=WAIT_S)
    assert not robot.GetSafetyStatus(synchronous_update=True).stop_mask


def test_the_emergency_stop_deactivates_and_latches(robot, lab):
    robot.SetVelTimeout(1.0)
    stream_velocity(robot, lab, 0.3)
    lab.do("fault", name="robot_estop")
    lab.until(lambda stats: not stats["arm"]["moving"])
    robot.WaitDeactivated(timeout=WAIT_S)
    assert robot.GetSafetyStatus().stop_mask & 1
    failed = robot.SendCustomCommand("ActivateRobot", [MxRobotStatusCode.MX_ST_ACTIVATION_ERR])
    failed.wait(timeout=WAIT_S)
    lab.do("clear_faults")
    robot.WaitSafetyStopReset(timeout=WAIT_S)
    assert not robot.GetStatusRobot(synchronous_update=True).activation_state
    make_ready(robot)


def test_a_motion_error_latches_until_reset_and_resume(robot, lab):
    robot.SetVelTimeout(1.0)
    stream_velocity(robot, lab, 0.3)
    lab.do("fault", name="robot_motion_error")
    robot.WaitForError(timeout=WAIT_S)
    lab.do("clear_faults")
    stats = lab.until(lambda stats: not stats["arm"]["moving"])
    assert stats["robot"]["error_code"] == 3005
    assert robot.GetStatusRobot(synchronous_update=True).error_msg.startswith("Motion error")
    refused = robot.SendCustomCommand("MoveLinVelWrf(0,0,10,0,0,0)", [MxRobotStatusCode.MX_ST_ALREADY_ERR])
    refused.wait(timeout=WAIT_S)
    start = joints(robot)
    robot.ResetError()
    robot.WaitErrorReset(timeout=WAIT_S)
    robot.WaitMotionPaused(timeout=WAIT_S)
    robot.ResumeMotion()
    robot.WaitMotionResumed(timeout=WAIT_S)
    robot.MoveJointsRel(2.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    robot.WaitIdle(timeout=WAIT_S)
    assert joints(robot)[0] == pytest.approx(start[0] + 2.0, abs=0.02)


def test_leaving_the_work_zone_is_an_error_that_the_client_sees(robot, lab):
    robot.DeactivateRobot()
    robot.WaitDeactivated(timeout=WAIT_S)
    height = pose(robot)[2]
    robot.SetWorkZoneLimits(-500.0, -500.0, 0.0, 500.0, 500.0, height + 4.0)
    robot.SetWorkZoneCfg(4, 1)
    try:
        make_ready(robot)
        assert robot.GetWorkZoneLimits().z_max == pytest.approx(height + 4.0, abs=1e-3)
        with pytest.raises((CommunicationError, DisconnectError, AssertionError)):
            stream_velocity(robot, lab, 1.0)
            assert not robot.GetStatusRobot().error_status
        lab.until(lambda stats: not stats["arm"]["moving"])
        assert robot.GetStatusRobot(synchronous_update=True).error_code == 3049
        assert height + 1.0 < pose(robot)[2] <= height + 4.0
    finally:
        robot.ResetError()
        robot.DeactivateRobot()
        robot.WaitDeactivated(timeout=WAIT_S)
        robot.SetWorkZoneLimits(-10000, -10000, -10000, 10000, 10000, 10000)


def test_dropped_connections_are_noticed_and_kept_out_while_refused(robot, lab):
    lost = threading.Event()
    robot.UnregisterCallbacks()
    robot.GetRtJointPos(synchronous_update=True)
    lab.do("fault", name="robot_tcp_drop", after="refuse")
    deadline_s = time.monotonic() + WAIT_S
    while robot.IsConnected() and time.monotonic() < deadline_s:
        lost.wait(0.01)
    assert not robot.IsConnected()
    with pytest.raises((CommunicationError, DisconnectError)):
        Robot().Connect(HOST, timeout=1.0)
    lab.do("clear_faults")
    robot.Connect(HOST)
    assert robot.GetStatusRobot(synchronous_update=True).activation_state


def test_a_silent_controller_keeps_its_sockets_open(robot, lab):
    robot.SetRealTimeMonitoring("JointPos")
    before = robot.GetRtJointPos(include_timestamp=True, synchronous_update=True).timestamp
    lab.do("fault", name="robot_silent")
    robot.GetStatusRobot(synchronous_update=True)  # commands are still answered
    held = robot.GetRobotRtData().rt_joint_pos.timestamp
    ticks = lab.do("stats")["ticks"]
    lab.until(lambda stats: stats["ticks"] > ticks + 130)
    assert robot.GetRobotRtData().rt_joint_pos.timestamp - held <= 20_000
    lab.do("clear_faults")
    assert robot.GetRtJointPos(include_timestamp=True, synchronous_update=True).timestamp > before


def test_a_line_without_end_is_refused_and_the_port_survives(lab, robot):
    robot.Disconnect()
    lab.until(lambda stats: stats["robot"]["controlled_by"] is None)
    with socket.create_connection((HOST, 10000), timeout=WAIT_S) as raw, raw.makefile("rb") as answers:
        raw.sendall(b"A" * 20000)
        seen = b""
        while b"[3003]" not in seen:
            seen += answers.read1(4096)
        raw.sendall(b"\0GetFwVersion\n")
        while b"[2081]" not in seen:
            seen += answers.read1(4096)
    lab.until(lambda stats: stats["robot"]["controlled_by"] is None)
    robot.Connect(HOST)
