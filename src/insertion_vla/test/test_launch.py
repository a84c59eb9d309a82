"""The launch as a user meets it: wrong arguments in one sentence, Ctrl-C ends every process cleanly."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from launched import Launch

DOMAIN = "59"
HOST = "127.0.42.9"
ENVIRONMENT = {**os.environ, "ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["ros2", "launch", "insertion_vla", "inference.launch.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("hardware:=mecca500", "hardware: expected one of sim, meca500, ros2_control, got 'mecca500'"),
        ("params_file:=/no/such.yaml", "params_file: expected a parameter file, found none at /no/such.yaml"),
        ("seed:=minus", "seed: expected a whole number"),
        ("policy:=scriptd", "did you mean 'scripted'"),
    ],
)
def test_a_bad_value_is_one_sentence_and_nothing_starts(argument, sentence):
    run = launch(argument)
    output = run.stdout + run.stderr
    assert run.returncode != 0
    assert sentence in output and "Traceback" not in output and "process started" not in output


def test_the_scripted_expert_is_for_the_simulation_only():
    run = launch("policy:=scripted", "hardware:=meca500")
    assert run.returncode != 0 and "hardware:=sim" in run.stdout + run.stderr


@pytest.mark.parametrize("tool", ["demo", "trials"])
def test_the_tools_refuse_unknown_arguments_by_name(tool):
    command = [sys.executable, "-c", f"from insertion_vla import executables; raise SystemExit(executables.{tool}())"]
    run = subprocess.run([*command, "sed:=7"], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False)
    assert run.returncode == 2
    assert "unknown argument 'sed'" in run.stderr and "Traceback" not in run.stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Launch]:
    run = Launch(ENVIRONMENT, f"host:={HOST}", "status:=false", f"record:={tmp_path / 'bags'}")
    yield run
    run.close()


@pytest.mark.parametrize(
    ("number", "everybody"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["Ctrl-C", "SIGTERM"]
)
def test_the_stack_comes_up_and_ends_cleanly(running, number, everybody):
    running.wait("system is ACTIVE")
    children = running.children()
    names = {os.path.basename(p.cmdline()[1]) for p in children if len(p.cmdline()) > 1}
    assert {
        "camera",
        "force_sensor",
        "arm",
        "vlm",
        "action_expert",
        "task",
        "lifecycle_manager",
        "sim",
        "recorder",
    } <= names
    code = running.end(number, everybody)
    output = "".join(running.lines)
    assert "Traceback" not in output, output
    assert not re.findall(r"process has died.*", output), output
    assert code == 0
    gone, alive = psutil.wait_procs(children, timeout=10.0)
    assert not alive, alive
