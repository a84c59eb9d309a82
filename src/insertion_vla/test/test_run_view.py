"""The live line says what a person needs, in a terminal or without one; the table says how a run ended."""

import os
import pty
import subprocess
import sys

import pytest

from ros_graph import open_graph  # noqa: F401  isort: skip  (sets the environment before rclpy is imported)
from insertion_vla.messages import time_from_ns
from insertion_vla.run_view import RunView
from insertion_vla.summary import result_rows, table

from insertion_vla_interfaces.action import RunInsertion
from insertion_vla_interfaces.msg import ActionChunk, ArmState, SystemState, TaskState

SECOND = 1_000_000_000


def running() -> RunView:
    view = RunView()
    view.on_system(SystemState(state=SystemState.ACTIVE))
    view.on_arm(ArmState(state=ArmState.SLOWED, force=0.123))
    view.on_task(
        TaskState(phase=TaskState.INSERT, permit=True, goal_id="g", depth=0.0042, elapsed=12.0, status="insert")
    )
    for tick in range(20):
        chunk = ActionChunk()
        chunk.header.stamp = time_from_ns(10 * SECOND + tick * SECOND // 10)
        chunk.features_stamp = time_from_ns(11 * SECOND)
        view.on_chunk(chunk)
    return view


def test_the_line_holds_state_phase_depth_force_age_and_rate():
    line = running().line(12 * SECOND)
    for part in (
        "ACTIVE",
        "INSERT",
        "depth 4.20 mm",
        "force 0.12 N",
        "features 1.00 s",
        "action 10.0 Hz, p99 100 ms",
        "SLOWED",
    ):
        assert part in line


def test_a_hold_is_explained():
    view = running()
    view.on_arm(ArmState(state=ArmState.HOLD, reason="features are 2.0 s old", force=float("nan")))
    line = view.line(12 * SECOND)
    assert line.endswith("features are 2.0 s old") and "force" not in line


def test_a_degraded_system_names_the_cause():
    view = running()
    view.on_system(SystemState(state=SystemState.DEGRADED, reason="vlm is inactive"))
    assert "vlm is inactive" in view.line(0)


def test_the_key_changes_with_the_phase_and_not_with_numbers():
    view = running()
    before = view.key()
    view.on_task(TaskState(phase=TaskState.INSERT, goal_id="g", depth=0.005))
    assert view.key() == before
    view.on_task(TaskState(phase=TaskState.DWELL, goal_id="g"))
    assert view.key() != before


def test_the_table_tells_the_reason_and_leaves_out_what_was_not_measured():
    nan = float("nan")
    result = RunInsertion.Result(
        reason="no touch", duration=3.0, depth=nan, peak_force=0.5, final_force=nan, action_rate=nan
    )
    text = table("Run", result_rows(result))
    assert "FAILED: no touch" in text and "depth     none" in text and "0.50 N peak" in text and "nan" not in text


SHOW = """
from insertion_vla.live_line import LiveLine
line = LiveLine()
line.show("first 1", "a"); line.show("first 2", "a"); line.show("second", "b"); line.print("kept"); line.close()
"""


def test_without_a_terminal_each_change_is_one_line():
    run = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, start_new_session=True, check=True
    )
    assert run.stdout.splitlines() == ["first 1", "second", "kept"]


def test_behind_a_pipe_the_line_still_reaches_the_terminal():
    """As under launch: stdout is a pipe, the controlling terminal is there."""
    pid, terminal = pty.fork()
    if pid == 0:
        code = subprocess.run([sys.executable, "-c", SHOW], stdout=subprocess.PIPE, check=False).returncode
        os._exit(code)
    output = b""
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:
            break
        if not block:
            break
        output += block
    assert os.waitpid(pid, 0)[1] == 0
    os.close(terminal)
    text = output.decode()
    assert text.count("\n") == 1, "only what stays ends a line"
    assert "\rfirst 1" in text and "\rfirst 2" in text and "kept\r\n" in text


@pytest.mark.parametrize("state", range(5))
def test_every_system_state_has_a_name(state):
    view = RunView()
    view.on_system(SystemState(state=state, reason="because"))
    assert "because" in view.line(0)
