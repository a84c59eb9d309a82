"""The Meca500 text protocol without sockets: one line in, the controller's replies out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_core.kinematics import load_arm
from insertion_vla_sim.controller import RobotController
from insertion_vla_sim.emulators.meca500_monitoring import Snapshot, cycle
from insertion_vla_sim.emulators.meca500_protocol import Protocol

MECA500 = load_arm("meca500")
START = np.deg2rad([5.0, 20.0, -25.0, 3.0, 80.0, -4.0])


def ready() -> Protocol:
    controller = RobotController(MECA500)
    controller.teleport(START)
    protocol = Protocol(controller)
    for time_s, line in ((0.0, "ActivateRobot"), (0.1, "Home()"), (0.2, "")):
        if line:
            assert protocol.execute(line) == []
        controller.update(time_s + 0.05, START, np.zeros(6))
    protocol.drain()
    return protocol


def code(replies: list[str]) -> int:
    assert len(replies) == 1
    return int(replies[0][1:5])


@pytest.mark.parametrize("line", ["Foo", "foo(1,2)", "StartProgram(3)", "", "42", "-"])
def test_an_unknown_command_gets_the_code_for_it(line):
    assert code(ready().execute(line)) == 1001


@pytest.mark.parametrize("line", ["MoveJoints(1,2", "MoveJoints 1,2)", "(1)"])
def test_a_missing_symbol_is_a_syntax_error(line):
    assert code(ready().execute(line)) == 1002


@pytest.mark.parametrize(
    "line",
    [
        "MoveJoints(1,2,3)",
        "MoveLinVelWrf(nan,0,0,0,0,0)",
        "MoveJoints(nan,0,0,0,0,0)",
        "MoveJointsVel(0,nan,0,0,0,0)",
        "MovePose(190,0,308,0,nan,0)",
        "SetTrf(0,0,nan,0,0,0)",
        "MoveLinVelWrf(inf,0,0,0,0,0)",
        "MoveLinVelTrf(1001,0,0,0,0,0)",
        "MoveLinVelTrf(0,0,0,0,301,0)",
        "MovePose(1,2,3,4,5,x)",
        "SetVelTimeout(0)",
        "SetVelTimeout(1.5)",
        "SetJointVel(101)",
        "ConnectionWatchdog(-1)",
        'ConnectionWatchdog({"data": 3})',
        "SetCheckpoint(1.5)",
        "Home(3)",
        "SetWorkZoneCfg(7,1)",
        "SetMonitoringInterval(0)",
    ],
)
def test_bad_arguments_are_refused_and_nothing_moves(line):
    protocol = ready()
    assert code(protocol.execute(line)) == 1003
    rates = protocol.controller.update(1.0, START, np.zeros(6))
    assert not rates.any() and not protocol.controller.error_code


def test_names_are_case_insensitive_and_a_dash_is_allowed():
    protocol = ready()
    assert protocol.execute("-getveltimeout") == ["[2151][0.05]"]
    assert protocol.execute("- GETVELTIMEOUT( )") == ["[2151][0.05]"]


def test_units_on_the_wire_are_mm_deg_and_percent():
    protocol = ready()
    assert protocol.execute("SetTrf(0,0,100,0,0,0)") == []
    assert protocol.execute("SetCartLinVel(20)") == []
    protocol.controller.update(1.0, START, np.zeros(6))
    assert np.allclose(protocol.controller.settings.trf.position, [0.0, 0.0, 0.1])
    assert protocol.controller.settings.linear_speed == pytest.approx(0.020)
    assert protocol.execute("GetTrf") == ["[2014][0.00000,0.00000,100.00000,0.00000,0.00000,0.00000]"]
    assert protocol.execute("GetCartLinVel") == ["[2154][20]"]
    assert protocol.execute("MoveLinVelWrf(0,0,10,0,0,0)") == []
    q = START
    for i in range(1, 30):
        rates = protocol.controller.update(1.0 + i / 650.0, q, np.zeros(6))
    assert protocol.controller.tool_twist(q, rates)[:3] == pytest.approx([0.0, 0.0, 0.010], abs=1e-6)


def test_configuration_needs_a_deactivated_robot():
    protocol = ready()
    for line in ("SetWorkZoneLimits(0,0,0,1,1,1)", "SetJointLimits(1,-10,20)", "SetJointLimitsCfg(1)"):
        assert code(protocol.execute(line)) == 1026
    protocol.execute("DeactivateRobot")
    assert protocol.execute("SetJointLimits(1,-10,20)") == ["[2092][1]"]
    assert protocol.execute("SetJointLimitsCfg(1)") == ["[2093][1]"]
    assert protocol.execute("GetJointLimits(1)") == ["[2090][1,-10.00000,20.00000]"]
    assert np.rad2deg(protocol.controller.upper[0]) == pytest.approx(20.0)
    assert code(protocol.execute("SetJointLimits(1,-400,20)")) == 1003


def test_status_is_text_until_json_is_asked_for_and_names_the_error_there():
    protocol = ready()
    assert protocol.execute("GetStatusRobot") == ["[2007][1,1,0,0,0,1,1]"]
    protocol.controller.fail(3005, "Motion error.")
    assert protocol.execute("GetStatusRobot") == ["[2007][1,1,0,1,1,1,1]"]
    protocol.execute("EnableJsonMode")
    status = json.loads(protocol.execute("GetStatusRobot")[0])
    assert status["code"] == 2007
    assert status["data"]["robotStatus"]["errorCode"] == 3005
    assert status["data"]["robotStatus"]["errorMsg"] == "Motion error."
    assert status["data"]["motionStatus"]["paused"] is True


def test_real_time_data_by_name_and_number_and_only_what_exists():
    protocol = ready()
    assert protocol.execute('SetRealTimeMonitoring(JointPos,2212,2213,"CartPos")') == ["[2117][2210,2211,2212]"]
    now = Snapshot.of(protocol.controller)
    lines = cycle(protocol.monitored, protocol.controller, now)
    assert [int(line[1:5]) for line in lines] == [2026, 2027, 2210, 2211, 2212, 2230]
    stamp, *joints = lines[2][7:-1].split(",")
    assert int(stamp) == now.time_us
    assert np.deg2rad([float(j) for j in joints]) == pytest.approx(START, abs=1e-6)
    assert len(protocol.execute("SetRealTimeMonitoring(all)")[0].split(",")) == 11


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_no_line_raises_or_moves_the_arm(line):
    protocol = ready()
    replies = protocol.execute(line)
    assert all(reply.startswith("[") for reply in replies)
    assert not protocol.controller.update(1.0, START, np.zeros(6)).any()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["MoveJoints", "MovePose", "MoveLin", "MoveLinVelWrf", "MoveLinVelTrf", "MoveJointsVel", "SetTrf"]),
    st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.text(max_size=4), max_size=8),
)
def test_motion_commands_with_any_arguments_give_finite_rates(name, arguments):
    protocol = ready()
    protocol.execute(f"{name}({','.join(map(str, arguments))})")
    for i in range(3):
        assert np.isfinite(protocol.controller.update(1.0 + i / 650.0, START, np.zeros(6))).all()
