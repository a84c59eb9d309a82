"""The commands `ros2 launch` and `ros2 run`, and the frame of `ros2`."""

import os
import signal
import subprocess
import sys

import launch.logging
import pytest
from launch_file import write_launch_file


@pytest.fixture(autouse=True)
def log_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    launch.logging.reset()
    yield
    launch.logging.reset()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `probe` in an ament prefix of its own: executables `show` and `endless`, a launch file."""
    prefix = tmp_path / "prefix"
    marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / "probe"
    library, share = prefix / "lib" / "probe", prefix / "share" / "probe" / "launch"
    for folder in (marker.parent, library, share):
        folder.mkdir(parents=True)
    marker.touch()
    texts = {
        "show": "import sys; print(sys.argv[1:]); sys.exit(len(sys.argv) - 1)",
        "endless": "import time\nprint('ready', flush=True)\ntime.sleep(30)",
    }
    for name, text in texts.items():
        path = library / name
        path.write_text(f"#!/usr/bin/env python3\n{text}\n")
        path.chmod(0o755)
    (library / "data.txt").write_text("not executable")
    write_launch_file(
        share / "probe.launch.py",
        """
        DeclareLaunchArgument("text", default_value=["a", "b"], description="what to say"),
        DeclareLaunchArgument("count", choices=["1", "2"], condition=IfCondition("false")),
        Node(package="probe", executable="show", arguments=[LaunchConfiguration("text")], output="screen"),
        """,
    )
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}")
    return prefix


def test_help_lists_the_verbs(ros2):
    code, output, _ = ros2("--help")
    assert code == 0 and all(verb in output for verb in ("launch", "run", "topic", "bag"))


def test_unknown_verb_names_the_nearest(ros2):
    code, _, errors = ros2("lunch")
    assert code == 2 and "unknown verb 'lunch'; did you mean 'launch'?" in errors


def test_verbs_are_imported_on_use():
    code = "import sys; from ros2cli.main import main; main([]); sys.exit(bool({'rclpy', 'launch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_launch_a_file_of_a_package(package, ros2):
    code, output, _ = ros2("launch", "probe", "probe.launch.py", "text:=first", "text:=second value")
    assert code == 0
    assert "] ['second value', '--ros-args']" in output


def test_launch_a_file_by_its_path(package, ros2):
    path = package / "share" / "probe" / "launch" / "probe.launch.py"
    code, output, _ = ros2("launch", path)
    assert code == 0 and "] ['ab', '--ros-args']" in output


def test_show_args(package, ros2):
    code, output, _ = ros2("launch", "probe", "probe.launch.py", "--show-args")
    assert code == 0
    assert output.splitlines() == [
        "Arguments (pass arguments as '<name>:=<value>'):",
        "",
        "    'text':",
        "        what to say",
        "        (default: 'a' + 'b')",
        "",
        "    'count':*",
        "        one of: ['1', '2']",
        "",
        "* argument(s) which are only used if specific conditions occur",
    ]


def test_print_does_not_launch(package, ros2):
    code, output, _ = ros2("launch", "probe", "probe.launch.py", "text:=x", "-p")
    assert code == 0 and "ExecInPkg(pkg='probe', exec='show')" in output and "process started" not in output


def test_options_may_stand_anywhere(package, ros2):
    code, output, _ = ros2("launch", "--debug", "probe", "probe.launch.py", "-a", "text:=x")
    assert code == 0 and "] ['x', '--ros-args']" in output and "[DEBUG]" in output


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["prob", "probe.launch.py"], "Package 'prob' not found; did you mean 'probe'?"),
        (["no_package_like_this", "a.launch.py"], "is the workspace built and sourced?"),
        (
            ["probe", "no.launch.py"],
            "'no.launch.py' was not found in the share directory of package 'probe'; there is probe.launch.py",
        ),
        (["/no/such/file.launch.py"], "there is no file '/no/such/file.launch.py'"),
        (
            ["probe", "probe.launch.py", "text=x"],
            "malformed launch argument 'text=x', expected format '<name>:=<value>'",
        ),
        (["probe", "probe.launch.py", "text:="], "malformed launch argument 'text:='"),
    ],
)
def test_wrong_launch_arguments_get_one_sentence(arguments, complaint, package, ros2):
    code, _, errors = ros2("launch", *arguments)
    assert code == 1 and complaint in errors and len(errors.splitlines()) == 1


def test_file_that_is_there_twice_is_refused(package, ros2):
    other = package / "share" / "probe" / "probe.launch.py"
    other.write_text("")
    code, _, errors = ros2("launch", "probe", "probe.launch.py")
    assert code == 1 and "found 2" in errors and str(other) in errors


def test_bad_file_is_told_by_show_args(tmp_path, ros2):
    path = tmp_path / "bad.launch.py"
    path.write_text("nonsense")
    code, _, errors = ros2("launch", path, "-s")
    assert code == 1 and "NameError: name 'nonsense' is not defined" in errors


def test_failed_launch_has_exit_code_1(tmp_path, ros2):
    path = write_launch_file(tmp_path / "a.launch.py", 'DeclareLaunchArgument("x", choices=["1"]),')
    assert ros2("launch", path, "x:=2")[0] == 1
    assert ros2("launch", path, "x:=1")[0] == 0


def test_run_passes_arguments_and_the_exit_code(package, ros2_process):
    process = ros2_process("run", "probe", "show", "--ros-args", "-p", "a:=1")
    assert process.join() == 3
    assert process.lines == ["['--ros-args', '-p', 'a:=1']"]


def test_run_with_a_prefix(package, ros2_process):
    process = ros2_process("run", "--prefix", "env -u NOTHING", "probe", "show")
    assert process.join() == 0 and process.lines == ["[]"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_what_is_run(number, package, ros2_process):
    process = ros2_process("run", "probe", "endless")
    process.wait_for("ready")
    assert process.end(number) == -number


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["prob", "show"], "did you mean 'probe'?"),
        (["probe", "shw"], "No executable 'shw' in package 'probe'; did you mean 'show'?"),
        (["probe", "zzz"], "there is endless, show"),
        (["probe", "data.txt"], "No executable 'data.txt'"),
        (["--prefix", "no_such_debugger", "probe", "show"], "cannot run 'no_such_debugger'"),
    ],
)
def test_wrong_run_arguments_get_one_sentence(arguments, complaint, package, ros2):
    code, _, errors = ros2("run", *arguments)
    assert code == 1 and complaint in errors and len(errors.splitlines()) == 1
