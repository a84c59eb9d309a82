"""Processes of a launch: their output, their end, signals, respawn."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import launch.logging
import pytest
from conftest import ROS2, wait_for
from launch.actions import (
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    RegisterEventHandler,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart
from launch.events import matchers
from launch.events.process import ProcessStdin, ShutdownProcess, SignalProcess
from launch_file import run_launch, write_launch_file

from launch import LaunchDescription, LaunchService

# Prints when it is ready, then ignores SIGINT and, if told so, SIGTERM. Ends by itself if the test fails.
STUBBORN = """
import signal, sys, time
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), lambda number, frame: print("ignored", number, flush=True))
print("ready", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    time.sleep(0.1)
"""


@pytest.fixture(autouse=True)
def log_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    launch.logging.reset()
    yield tmp_path / "log"
    launch.logging.reset()


# Ends in good order at a SIGINT.
ORDERLY = """
import time
try:
    print("ready", flush=True)
    time.sleep(30)
except KeyboardInterrupt:
    print("in good order")
"""


def python(code, *arguments, **kwargs):
    return ExecuteProcess(cmd=[sys.executable, "-c", code, *arguments], **{"output": "screen", **kwargs})


def endless(**kwargs):
    """Runs until a signal; unlike Python, `sleep` has no start-up during which a signal has another effect."""
    return ExecuteProcess(cmd=["sleep", "30"], **kwargs)


def has_ended(pid):
    """True if there is no such process, or only its return code is left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def shut_down_when_ready(process):
    """Ends the launch with the first output of the process."""
    return RegisterEventHandler(
        # At the end of its line: an unbuffered Python writes word and line end apart, and a signal may come in between.
        OnProcessIO(target_action=process, on_stdout=lambda event: Shutdown() if event.text.endswith(b"\n") else None)
    )


def test_output_is_logged_line_by_line_with_the_name_of_the_process(capsys):
    code = "import sys; sys.stdout.write('one\\ntw'); sys.stdout.flush(); print('o'); sys.stderr.write('three')"
    process = python(code, name="talker")
    assert run_launch(process)[0] == 0
    output = capsys.readouterr().out
    name = process.process_details["name"]
    assert re.fullmatch(r"talker-\d+", name)
    pid = process.process_details["pid"]
    lines = output.splitlines()
    assert f"[INFO] [{name}]: process started with pid [{pid}]" in lines
    assert f"[INFO] [{name}]: process has finished cleanly [pid {pid}]" in lines
    said = [line for line in lines if line.startswith(f"[{name}] ")]
    assert sorted(said) == sorted([f"[{name}] one", f"[{name}] two", f"[{name}] three"])


def test_output_goes_where_it_is_wanted(capsys, log_folder):
    run_launch(python("import sys; print('hidden'); print('seen', file=sys.stderr)", output="log"))
    output = capsys.readouterr().out
    assert "] seen" in output and "hidden" not in output
    (log,) = log_folder.glob("*/launch.log")
    assert "] hidden" in log.read_text() and "] seen" in log.read_text()


def test_own_log_is_a_file_of_the_process(log_folder):
    process = python("print('mine')", output="own_log", name="own", output_format="{line}")
    run_launch(process)
    (log,) = log_folder.glob(f"*/{process.process_details['name']}-stdout.log")
    assert log.read_text() == "mine\n"


def test_unknown_output_is_an_error(capsys):
    assert run_launch(python("pass", output="screne"))[0] == 1
    assert "'screne' is not a valid output: expected one of screen, log" in capsys.readouterr().out


@pytest.mark.parametrize("emulate_tty", [True, False])
def test_emulated_terminal(emulate_tty, capsys):
    process = python("import sys; print(sys.stdout.isatty(), sys.stderr.isatty())", emulate_tty=emulate_tty)
    run_launch(process)
    assert f"] {emulate_tty} {emulate_tty}\n" in capsys.readouterr().out


def test_cached_output():
    process = python("import sys; print('a'); print('b'); print('c', file=sys.stderr)", cached_output=True)
    run_launch(process)
    assert process.get_stdout() == "a\nb\n"
    assert process.get_stderr() == "c\n"
    with pytest.raises(RuntimeError, match="cached output must be true"):
        python("pass").get_stdout()


def test_folder_environment_and_shell(tmp_path, capsys):
    code = "import os; print(os.getcwd(), os.environ.get('A'), os.environ.get('B'))"
    whole = python(code, cwd=str(tmp_path), env={"A": "1"}, additional_env={"B": "2"})
    shell = ExecuteProcess(
        cmd=["echo", "$A", "|", "tr", "x", "y"], shell=True, additional_env={"A": "xx"}, output="screen"
    )
    assert run_launch(whole, shell)[0] == 0
    output = capsys.readouterr().out
    assert f"] {tmp_path} 1 2\n" in output
    assert "] yy\n" in output


def test_return_code_is_told_and_does_not_fail_the_launch(capsys):
    process = python("import sys; sys.exit(3)")
    assert run_launch(process)[0] == 0
    assert process.return_code == 3
    assert re.search(r"\[ERROR\] \[.*\]: process has died \[pid \d+, exit code 3, cmd '.*'\]", capsys.readouterr().out)


def test_missing_executable_is_told(capsys):
    assert run_launch(ExecuteProcess(cmd=["no_such_executable"]))[0] == 0
    assert "No such file or directory: 'no_such_executable'" in capsys.readouterr().out


def test_events_of_a_process_come_in_order():
    seen = []
    process = python("import os; os.write(1, b'out')")
    run_launch(
        RegisterEventHandler(OnProcessStart(target_action=process, on_start=lambda e, c: seen.append(e.pid))),
        RegisterEventHandler(OnProcessIO(target_action=process, on_stdout=lambda e: seen.append(e.text))),
        RegisterEventHandler(OnProcessExit(target_action=process, on_exit=lambda e, c: seen.append(e.returncode))),
        process,
    )
    assert seen == [process.process_details["pid"], b"out", 0]


def test_text_for_standard_input():
    process = python("print('got', input())", cached_output=True)

    def say(event, context):
        return EmitEvent(event=ProcessStdin(text=b"hello\n", **process.process_details))

    run_launch(process, RegisterEventHandler(OnProcessStart(target_action=process, on_start=say)))
    assert process.get_stdout() == "got hello\n"


def test_shutdown_sends_sigint_and_the_process_may_end_in_its_own_way(capsys):
    process = python(ORDERLY)
    assert run_launch(process, shut_down_when_ready(process))[0] == 0
    assert process.return_code == 0
    output = capsys.readouterr().out
    assert "sending signal 'SIGINT' to process" in output and "] in good order\n" in output
    assert "escalating" not in output


def test_signals_escalate_for_a_process_that_ignores_them(capsys):
    process = python(STUBBORN, "SIGINT", "SIGTERM", sigterm_timeout="0.3", sigkill_timeout="0.3")
    assert run_launch(process, shut_down_when_ready(process))[0] == 0
    output = capsys.readouterr().out
    assert process.return_code == -signal.SIGKILL
    order = [
        "sending signal 'SIGINT' to",
        "failed to terminate '0.3' seconds after receiving 'SIGINT', escalating to 'SIGTERM'",
        "sending signal 'SIGTERM' to",
        "failed to terminate '0.3' seconds after receiving 'SIGTERM', escalating to 'SIGKILL'",
        "sending signal 'SIGKILL' to",
    ]
    positions = [output.index(text) for text in order]
    assert positions == sorted(positions)


def test_escalation_stops_at_the_signal_that_helps(capsys):
    process = python(STUBBORN, "SIGINT", sigterm_timeout="0.3", sigkill_timeout="20")
    run_launch(process, shut_down_when_ready(process))
    assert process.return_code == -signal.SIGTERM
    assert "SIGKILL" not in capsys.readouterr().out


def test_children_left_behind_are_ended_too(capsys):
    child = f"import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}, 'SIGINT'])\n"
    code = child + "try:\n    p.wait()\nexcept KeyboardInterrupt:\n    print('child', p.pid)"
    process = python(code, sigterm_timeout="0.3", sigkill_timeout="5", cached_output=True)
    run_launch(process, shut_down_when_ready(process))
    pid = int(re.search(r"child (\d+)", process.get_stdout()).group(1))
    assert f"sending signal 'SIGTERM' to the processes left behind [{pid}]" in capsys.readouterr().out
    wait_for(lambda: has_ended(pid), f"process {pid} to have ended")


@pytest.mark.parametrize(
    "make_event, returncode",
    [
        (lambda match: ShutdownProcess(process_matcher=match), -signal.SIGINT),
        (lambda match: SignalProcess(signal_number="SIGTERM", process_matcher=match), -signal.SIGTERM),
    ],
)
def test_event_for_one_process_leaves_the_other_alone(make_event, returncode):
    first = python(
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nprint('ready', flush=True)\ntime.sleep(30)"
    )
    second = python("input(); print('done')", cached_output=True)

    def on_ready(event):
        return EmitEvent(event=make_event(matchers.matches_action(first)))

    def release(event, context):
        return EmitEvent(event=ProcessStdin(text=b"\n", **second.process_details))

    run_launch(
        second,
        first,
        RegisterEventHandler(OnProcessIO(target_action=first, on_stdout=on_ready)),
        RegisterEventHandler(OnProcessExit(target_action=first, on_exit=release)),
    )
    assert first.return_code == returncode
    assert second.return_code == 0 and second.get_stdout() == "done\n"


def test_respawn_until_the_limit():
    exits = []
    process = python("print('up')", respawn=True, respawn_max_retries=2, on_exit=lambda e, c: exits.append(e.pid))
    assert run_launch(process)[0] == 0
    assert len(set(exits)) == 3


def test_respawn_ends_with_the_launch():
    starts = []
    process = python(
        "pass", respawn=True, respawn_delay=0.05, on_exit=lambda e, c: [Shutdown()] if len(starts) == 3 else None
    )
    counting = RegisterEventHandler(OnProcessStart(target_action=process, on_start=lambda e, c: starts.append(e.pid)))
    assert run_launch(process, counting)[0] == 0
    assert len(starts) == 3


def test_respawn_delay_does_not_hold_up_the_end(capsys):
    process = python(
        "pass", respawn=True, respawn_delay=1000.0, on_exit=[TimerAction(period=0.1, actions=[Shutdown()])]
    )
    assert run_launch(process)[0] == 0


def test_required_process_ends_the_launch(capsys):
    other = endless()
    code, _ = run_launch(other, python("pass", name="required", on_exit=Shutdown()))
    assert code == 0
    assert re.search(r"process\[required-\d+\] was required: shutting down", capsys.readouterr().out)
    assert other.return_code == -signal.SIGINT


def test_shutdown_while_starting_ends_the_process():
    process = endless()
    assert run_launch(process, Shutdown())[0] == 0
    assert process.return_code == -signal.SIGINT


def test_process_after_the_shutdown_is_not_started():
    process = endless()
    assert run_launch(Shutdown(), TimerAction(period=0.01, actions=[process], cancel_on_shutdown=False))[0] == 0
    assert process.return_code is None


def test_error_while_starting_ends_those_already_started(capsys):
    class Failing(ExecuteProcess):
        def execute(self, context):
            raise RuntimeError("cannot go on")

    started = endless()
    assert run_launch(started, Failing(cmd=["x"]))[0] == 1
    assert started.return_code is not None
    assert (
        "[ERROR] [launch]: Caught exception in launch (see debug for traceback): cannot go on"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("setting", [{"sigterm_timeout": "soon"}, {"respawn": "maybe"}])
def test_bad_settings_are_told_before_the_start(setting, capsys):
    process = endless(**setting)
    assert run_launch(process)[0] == 1
    assert process.return_code is None and f"Cannot convert value '{[*setting.values()][0]}'" in capsys.readouterr().out


def test_error_in_the_work_of_a_process_ends_the_launch(capsys):
    assert run_launch(SetLaunchConfiguration("emulate_tty", "maybe"), python("pass"))[0] == 1
    assert "but got 'maybe'" in capsys.readouterr().out


def test_timeouts_are_those_of_the_scope_of_the_process():
    scoped = python(STUBBORN, "SIGINT")
    group = GroupAction([scoped], launch_configurations={"sigterm_timeout": "0.1"})
    run_launch(group, shut_down_when_ready(scoped))
    assert scoped.return_code == -signal.SIGTERM


def test_action_is_executed_once(capsys):
    process = python("pass")
    assert run_launch(process, process)[0] == 1
    assert "executed more than once" in capsys.readouterr().out


def test_prefix_is_put_before_the_command():
    own = python("pass", prefix="env MARK=1")
    others = [python("pass"), ExecuteProcess(cmd=["true"])]
    run_launch(
        SetLaunchConfiguration("launch-prefix", "nice -n 1"),
        SetLaunchConfiguration("launch-prefix-filter", "python"),
        own,
        *others,
    )
    starts = [process.process_details["cmd"][0] for process in (own, *others)]
    assert starts == ["env", "nice", "true"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_ros2_launch_ends_it_cleanly(number, tmp_path, ros2_process):
    path = write_launch_file(tmp_path / "endless.launch.py", f"python({ORDERLY!r}, name='arm'),")
    process = ros2_process("launch", path, "--noninteractive")
    process.wait_for("] ready")
    assert process.end(number) == 0
    assert "] in good order" in process.text
    assert "process has finished cleanly" in process.text
    assert "Traceback" not in process.text


def test_sigquit_leaves_no_process_behind(tmp_path, ros2_process):
    code = (
        "import os, subprocess as s; p = s.Popen(['sleep', '30']); os.write(1, b'pids %d %d\\n' % (os.getpid(), p.pid))"
    )
    code += "; p.wait()"
    path = write_launch_file(tmp_path / "a.launch.py", f"python({code!r}),")
    process = ros2_process("launch", path)
    process.wait_for("] pids ")
    pids = [int(pid) for pid in re.search(r"\] pids (\d+) (\d+)", process.text).groups()]
    assert process.end(signal.SIGQUIT) == 1
    wait_for(lambda: all(map(has_ended, pids)), f"processes {pids} to have ended")


def test_ctrl_c_in_a_terminal_reaches_each_process_once(tmp_path):
    path = write_launch_file(tmp_path / "a.launch.py", f"python({ORDERLY!r}),")
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*ROS2, "launch", str(path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 4096):
            output += chunk
            if b"] ready" in chunk:
                os.write(ours, b"\x03")
    except OSError:  # the terminal's other end is closed
        assert process.wait(20) == 0, output
    finally:
        process.kill()
        os.close(ours)
    assert b"user interrupted with ctrl-c (SIGINT)" in output and b"] in good order" in output
    assert b"sending signal" not in output


def test_launch_in_a_thread():
    codes = []
    process = python("import sys; sys.exit(4)")
    thread = threading.Thread(target=lambda: codes.append(run_launch(process)[0]))
    thread.start()
    thread.join(20)
    assert codes == [0] and process.return_code == 4


def test_two_launches_in_one_process():
    for _ in range(2):
        service = LaunchService()
        service.include_launch_description(LaunchDescription([python("pass")]))
        assert service.run() == 0
