"""The robot controller without sockets: queueing, expiry, limits, errors and safety signals."""

from __future__ import annotations

import numpy as np
import pytest
from insertion_vla_core.geometry import Pose, exp_so3
from insertion_vla_core.kinematics import forward, load_arm
from insertion_vla_sim.controller import Refused, RobotController
from insertion_vla_sim.controller_config import Machine
from simulated_lab import Arm

from insertion_vla_sim import meca500_codes as codes

MECA500 = load_arm("meca500")
TOOL = Pose(np.array([0.0, 0.0, 0.1]), np.eye(3))
START = np.deg2rad([5.0, 20.0, -25.0, 3.0, 80.0, -4.0])


class Robot:
    """Controller and arm, ticked together."""

    def __init__(self, ready: bool = True) -> None:
        self.controller = RobotController(MECA500, TOOL, Machine())
        self.arm = Arm(START)
        self.controller.teleport(START)
        self.ticks = 0
        if ready:
            self.controller.activate()
            self.run(1)
            self.controller.home()
            self.run(1)
            self.controller.events.clear()

    @property
    def tip(self) -> Pose:
        return forward(MECA500, self.arm.q) @ TOOL

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.ticks += 1
            self.arm.step(self.controller.update(self.ticks / 650.0, self.arm.q, self.arm.dq))

    def settle(self, limit_s: float = 10.0) -> float:
        """Run until the end of the block; returns the seconds it took."""
        started = self.ticks
        self.run(1)
        while not self.controller.end_of_block:
            self.run(1)
            assert self.ticks - started < limit_s * 650
        return (self.ticks - started) / 650.0

    def stream(self, twist: list[float], seconds: float, frame: str = "wrf") -> None:
        """Velocity commands at 100 Hz."""
        send = getattr(self.controller, f"set_velocity_{frame}")
        started = self.ticks
        for i in range(round(seconds * 100)):
            send(np.array(twist))
            self.run(started + round((i + 1) * 6.5) - self.ticks)

    def codes(self) -> list[int]:
        return [code for code, _ in self.controller.events]


def test_motion_needs_activation_and_homing():
    robot = Robot(ready=False)
    with pytest.raises(Refused) as refused:
        robot.controller.move_joints(START)
    assert refused.value.code == codes.NOT_ACTIVATED
    with pytest.raises(Refused) as refused:
        robot.controller.home()
    assert refused.value.code == codes.NOT_ACTIVATED
    robot.controller.activate()
    robot.run(1)
    with pytest.raises(Refused) as refused:
        robot.controller.set_velocity_wrf(np.zeros(6))
    assert refused.value.code == codes.NOT_HOMED
    robot.controller.home()
    robot.run(1)
    robot.controller.set_velocity_wrf(np.zeros(6))


@pytest.mark.parametrize("frame", ["wrf", "trf"])
def test_velocity_moves_the_tip_in_the_axes_of_its_frame(frame):
    robot = Robot()
    start = robot.tip
    robot.stream([0.0, 0.004, 0.010, 0.0, 0.0, 0.0], 0.5, frame)
    moved = robot.tip.position - start.position
    expected = np.array([0.0, 0.002, 0.005])
    if frame == "trf":
        expected = start.rotation @ expected
    assert np.allclose(moved, expected, atol=2.5e-4)
    assert np.allclose(robot.tip.rotation, start.rotation, atol=1e-3)


def test_angular_velocity_turns_about_the_tip():
    robot = Robot()
    start = robot.tip
    robot.stream([0.0, 0.0, 0.0, 0.0, 0.0, 0.2], 0.5)
    assert np.allclose(robot.tip.position, start.position, atol=2e-4)
    assert np.allclose(robot.tip.rotation, exp_so3([0.0, 0.0, 0.1]) @ start.rotation, atol=4e-3)


def test_a_velocity_command_expires_and_the_arm_decelerates_within_its_limits():
    robot = Robot()
    robot.controller.configure(lambda settings: setattr(settings, "velocity_timeout_s", 0.1))
    robot.run(1)
    robot.controller.set_velocity_wrf(np.array([0.0, 0.0, 0.02, 0.0, 0.0, 0.0]))
    robot.run(60)  # 92 ms
    assert np.linalg.norm(robot.arm.dq) > 0.01
    speeds = []
    for _ in range(60):
        robot.run(1)
        asked = robot.controller.target_dq
        speeds.append(np.linalg.norm(robot.controller.tool_twist(robot.arm.q, asked)[:3]))
    assert speeds[0] == pytest.approx(0.02, abs=1e-4) and speeds[-1] == 0.0
    assert 1.5 < max(-np.diff(speeds)) * 650 < 2.1  # m/s²: half of the machine's 4
    assert np.abs(robot.arm.dq).max() < 1e-5
    assert robot.codes()[-2:] == [codes.END_OF_MOVEMENT, codes.END_OF_BLOCK]


def test_joint_move_reaches_its_target_within_the_joint_speed():
    robot = Robot()
    target = START + np.deg2rad([20.0, -10.0, 5.0, 0.0, -15.0, 30.0])
    robot.controller.move_joints(target)
    robot.controller.set_checkpoint(7)
    fastest = np.zeros(6)
    while codes.CHECKPOINT_REACHED not in robot.codes():
        robot.run(1)
        fastest = np.maximum(fastest, np.abs(robot.arm.dq))
        assert robot.ticks < 3000
    assert np.allclose(robot.arm.q, target, atol=1e-4)
    assert (fastest <= 0.25 * MECA500.speed_rad_s * 1.05).all()
    assert robot.controller.checkpoint == 7


def test_linear_move_is_straight_and_exact():
    robot = Robot()
    start = robot.tip
    goal = Pose(start.position + [0.01, 0.015, -0.02], exp_so3([0.0, 0.1, 0.05]) @ start.rotation)
    robot.controller.move_lin(goal)
    robot.run(1)
    direction = (goal.position - start.position) / np.linalg.norm(goal.position - start.position)
    off = 0.0
    while not robot.controller.end_of_block:
        robot.run(1)
        along = robot.tip.position - start.position
        off = max(off, float(np.linalg.norm(along - direction * (along @ direction))))
        assert robot.ticks < 5000
    assert off < 2e-4
    assert np.allclose(robot.tip.position, goal.position, atol=2e-5)
    assert np.allclose(robot.tip.rotation, goal.rotation, atol=1e-4)


def test_pause_stops_a_move_in_mid_path_and_resume_completes_it():
    robot = Robot()
    target = START + np.deg2rad([40.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    robot.controller.move_joints(target)
    robot.run(300)
    robot.controller.pause()
    robot.run(200)
    rest = robot.arm.q.copy()
    assert np.abs(robot.arm.dq).max() < 1e-4
    assert np.deg2rad(5.0) < rest[0] - START[0] < np.deg2rad(35.0)
    robot.run(650)
    assert np.allclose(robot.arm.q, rest, atol=1e-5)
    assert not robot.controller.end_of_block
    robot.controller.resume()
    robot.settle()
    assert np.allclose(robot.arm.q, target, atol=1e-4)


def test_settings_do_not_interrupt_a_velocity_and_moves_wait_for_it():
    robot = Robot()
    robot.controller.set_velocity_wrf(np.array([0.0, 0.0, 0.01, 0.0, 0.0, 0.0]))
    robot.run(10)
    robot.controller.configure(lambda settings: setattr(settings, "velocity_timeout_s", 0.3))
    robot.controller.set_velocity_wrf(np.array([0.0, 0.0, 0.01, 0.0, 0.0, 0.0]))
    robot.controller.move_joints(START)
    slowest = np.inf
    for _ in range(180):
        robot.run(1)
        slowest = min(slowest, robot.controller.tool_twist(robot.arm.q, robot.arm.dq)[2])
    assert slowest > 0.0095
    robot.settle()
    assert np.allclose(robot.arm.q, START, atol=1e-4)


def test_a_velocity_command_waits_for_the_move_before_it():
    robot = Robot()
    target = START + np.deg2rad([10.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    robot.controller.move_joints(target)
    robot.run(5)
    robot.controller.set_joint_velocity(np.array([-0.5, 0.0, 0.0, 0.0, 0.0, 0.0]))
    highest = 0.0
    while not robot.controller.end_of_block:
        robot.run(1)
        highest = max(highest, robot.arm.q[0])
        assert robot.ticks < 2000
    assert highest == pytest.approx(target[0], abs=1e-3) and robot.arm.q[0] < target[0] - 0.01


def test_velocity_commands_are_dropped_while_paused():
    robot = Robot()
    robot.controller.pause()
    robot.stream([0.02, 0.0, 0.0, 0.0, 0.0, 0.0], 0.2)
    robot.controller.resume()
    robot.run(20)
    assert np.array_equal(robot.arm.q, START)


def test_clear_empties_the_queue_and_reports_lost_checkpoints():
    robot = Robot()
    robot.controller.move_joints(START + 0.3)
    robot.controller.set_checkpoint(3)
    robot.run(100)
    robot.controller.clear()
    assert (codes.CHECKPOINT_DISCARDED, "3") in robot.controller.events
    assert robot.settle() < 0.5
    assert robot.controller.paused and robot.controller.cleared and robot.controller.pending == 0
    robot.controller.resume()
    q = robot.arm.q.copy()
    robot.run(300)
    assert np.allclose(robot.arm.q, q, atol=1e-6)


def test_settings_wait_for_the_moves_before_them_and_activation_restores_them():
    robot = Robot()
    robot.controller.move_joints(START + 0.05)
    robot.controller.configure(lambda settings: setattr(settings, "trf", Pose.identity()))
    robot.run(1)
    assert robot.controller.settings.trf is TOOL
    robot.settle()
    assert np.allclose(robot.controller.tool_pose(robot.arm.q).position, forward(MECA500, robot.arm.q).position)
    robot.controller.deactivate()
    robot.controller.activate()
    robot.run(1)
    assert robot.controller.settings.trf is TOOL


def test_a_target_beyond_a_joint_limit_is_a_latched_error():
    robot = Robot()
    robot.controller.move_joints(START + np.array([0.0, 2.0, 0.0, 0.0, 0.0, 0.0]))
    robot.run(50)
    assert robot.controller.error_code == codes.JOINT_OVER_LIMIT
    assert "Joint 2" in robot.controller.error_text
    assert np.allclose(robot.arm.q, START)
    for call in (lambda: robot.controller.move_joints(START), robot.controller.resume, robot.controller.activate):
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code == codes.ALREADY_IN_ERROR
    robot.run(650)
    assert robot.controller.error_code  # never by itself
    robot.controller.reset_error()
    assert robot.controller.paused
    robot.controller.resume()
    robot.controller.move_joints(START + 0.1)
    robot.settle()
    assert np.allclose(robot.arm.q, START + 0.1, atol=1e-4)


def test_an_unreachable_pose_is_an_error():
    robot = Robot()
    robot.controller.move_pose(Pose(np.array([2.0, 0.0, 0.0]), np.eye(3)))
    robot.run(2)
    assert robot.controller.error_code == codes.OUT_OF_REACH


@pytest.mark.parametrize("joint", [0, 4])
def test_velocity_stops_before_a_joint_limit_without_an_error(joint):
    robot = Robot()
    rates = np.zeros(6)
    rates[joint] = 1.5
    for _ in range(400):
        robot.controller.set_joint_velocity(rates)
        robot.run(7)
    limit = MECA500.upper_rad[joint]
    assert limit - np.deg2rad(1.0) < robot.arm.q[joint] <= limit
    assert not robot.controller.error_code


def test_leaving_the_work_zone_is_an_error_and_the_arm_stops_inside():
    robot = Robot(ready=False)
    flange = forward(MECA500, START).position
    robot.controller.work_zone.lower, robot.controller.work_zone.upper = flange - 0.5, flange + [0.5, 0.5, 0.01]
    robot.controller.activate()
    robot.controller.home()
    robot.run(2)
    highest = -np.inf
    for _ in range(300):
        try:
            robot.controller.set_velocity_wrf(np.array([0.0, 0.0, 0.05, 0.0, 0.0, 0.0]))
        except Refused as refused:
            assert refused.code == codes.ALREADY_IN_ERROR
        robot.run(5)
        highest = max(highest, forward(MECA500, robot.arm.q).position[2])
    assert robot.controller.error_code == codes.WORK_ZONE_ERROR
    assert flange[2] + 0.005 < highest <= flange[2] + 0.01
    assert np.abs(robot.arm.dq).max() == 0.0


def test_the_watchdog_stops_the_arm_unless_refreshed():
    robot = Robot()
    robot.controller.move_joints(START + np.deg2rad([100.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    for _ in range(5):
        robot.controller.connection_watchdog(0.05)
        robot.run(30)
    assert robot.arm.dq[0] > 0.1
    robot.run(33 + 20)
    assert robot.controller.connection_state == codes.STOP_ACTIVE
    assert (codes.CONNECTION_DROPPED, "1") in robot.controller.events
    robot.run(100)
    assert np.abs(robot.arm.dq).max() < 1e-4
    robot.controller.connection_back()
    robot.run(300)
    assert np.abs(robot.arm.dq).max() < 1e-4  # waits for resume
    robot.controller.resume()
    robot.run(60)
    assert robot.arm.dq[0] > 0.1


def test_a_cancelled_watchdog_does_nothing():
    robot = Robot()
    robot.controller.connection_watchdog(0.05)
    robot.controller.connection_watchdog(0.0)
    robot.controller.move_joints(START + 0.2)
    robot.settle()
    assert np.allclose(robot.arm.q, START + 0.2, atol=1e-4)
    assert [text for code, text in robot.controller.events if code == codes.WATCHDOG] == ["1", "0"]


def test_losing_the_connection_stops_a_moving_robot_only():
    robot = Robot()
    robot.controller.connection_lost()
    assert robot.controller.connection_state == codes.STOP_RESET
    robot.controller.move_joints(START + np.deg2rad([60.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    robot.run(60)
    robot.controller.connection_lost()
    robot.run(150)
    assert robot.controller.connection_state == codes.STOP_ACTIVE
    assert np.abs(robot.arm.dq).max() < 1e-4


def test_the_emergency_stop_cuts_the_motors_and_blocks_activation():
    robot = Robot()
    robot.stream([0.02, 0.0, 0.0, 0.0, 0.0, 0.0], 0.2)
    robot.controller.emergency_stop(True)
    robot.run(1)
    assert not robot.controller.target_dq.any()
    assert not robot.controller.activated and not robot.controller.homed
    with pytest.raises(Refused) as refused:
        robot.controller.activate()
    assert refused.value.code == codes.ACTIVATION_FAILED
    robot.controller.emergency_stop(False)
    robot.run(100)
    assert not robot.controller.activated  # never by itself
    robot.controller.activate()
    robot.controller.home()
    robot.run(2)
    robot.stream([0.02, 0.0, 0.0, 0.0, 0.0, 0.0], 0.2)
    assert np.abs(robot.arm.dq).max() > 0.01


@pytest.mark.parametrize(("severity", "error"), [(4, codes.TORQUE_LIMIT_ERROR), (1, 0)])
def test_an_overloaded_joint_trips_by_its_severity(severity, error):
    robot = Robot()
    limits = np.full(6, 0.4)
    robot.controller.configure(lambda s: s.__dict__.update(torque_limits=limits, torque_severity=severity))
    robot.run(1)
    robot.controller.load = np.array([0.0, -0.3, 0.0, 0.0, 0.0, 0.0])
    robot.run(1)
    assert not robot.codes()
    robot.controller.load = np.array([0.0, -0.5, 0.0, 0.0, 0.0, 0.0])
    robot.run(10)
    assert robot.controller.error_code == error
    assert robot.codes().count(codes.TORQUE_LIMIT_STATUS) == 1


def test_a_delay_rests_between_commands_and_ends():
    robot = Robot()
    robot.controller.delay(0.2)
    robot.controller.set_checkpoint(5)
    robot.controller.delay(0.2)
    robot.run(120)
    assert codes.CHECKPOINT_REACHED not in robot.codes()
    robot.run(20)
    assert codes.CHECKPOINT_REACHED in robot.codes() and not robot.controller.end_of_block
    assert robot.settle() == pytest.approx(0.2, abs=0.03)


def test_a_full_queue_refuses():
    robot = Robot()
    robot.controller.pause()
    for _ in range(robot.controller.machine.queue_length):
        robot.controller.delay(0.0)
    with pytest.raises(Refused) as refused:
        robot.controller.delay(0.0)
    assert refused.value.code == codes.BUFFER_FULL
