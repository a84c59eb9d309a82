"""Every test of this folder runs on its own ROS domain, on this machine only, with strict message fields."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

os.environ.update(
    ROS_DOMAIN_ID="42",
    ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
    ROS_PYTHON_CHECK_FIELDS="1",
    FASTRTPS_DEFAULT_PROFILES_FILE=str(Path(__file__).with_name("fastdds.xml")),
)
DEADLINE_S = 20.0
ROS2 = [sys.executable, "-c", "import sys; from ros2cli.main import main; sys.exit(main())"]


def wait_for(condition, what, timeout_s=DEADLINE_S):
    """What `condition` returns as soon as it is true; fails after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"expected {what} within {timeout_s} s"
        threading.Event().wait(0.005)
    return value


class Lines:
    """A process whose output is read line by line, by a thread."""

    def __init__(self, command, **kwargs):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **kwargs
        )
        self.lines = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self):
        return "\n".join(self.lines)

    def wait_for(self, part):
        """Wait until the output contains `part`."""
        return wait_for(lambda: part in self.text or self.process.poll() is not None, part) and self._check(part)

    def _check(self, part):
        assert part in self.text, f"expected '{part}', the process ended with:\n{self.text}"
        return True

    def end(self, number=signal.SIGINT):
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.join()

    def join(self):
        try:
            return self.process.wait(DEADLINE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._thread.join()
            self.process.stdout.close()


@pytest.fixture
def ros2_process():
    """Start `ros2 ...` as a process; whatever still runs at the end of the test is ended."""
    started = []

    def start(*arguments):
        started.append(Lines([*ROS2, *map(str, arguments)]))
        return started[-1]

    yield start
    for lines in started:
        if lines.process.poll() is None:
            lines.end(signal.SIGKILL)


@pytest.fixture
def ros2(capsys):
    """Run `ros2 ...` in this process; returns (exit code, output, errors)."""
    from ros2cli.main import main

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:
            code = error.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def peer():
    """A node in its own process to list, measure, call and record; see peer_node.py."""
    lines = Lines([sys.executable, str(Path(__file__).with_name("peer_node.py"))])
    lines.wait_for("ready")
    yield lines
    assert lines.end() == 0, lines.text


class Graph:
    """A node that a thread spins, in a context of its own."""

    def __init__(self):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self.context = rclpy.Context()
        self.context.init(args=[])
        self.node = Node("test_graph", context=self.context, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self):
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=0.02)

    def collect(self, message_type, topic, depth=1000, **qos):
        """A list that grows with the messages of a topic."""
        from rclpy.qos import QoSProfile

        received = []
        self.node.create_subscription(message_type, topic, received.append, QoSProfile(depth=depth, **qos))
        return received

    def close(self):
        self._stopping.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def graph():
    made = Graph()
    yield made
    made.close()
