"""The simulated lab as a process of its own, without its cameras, and its admin socket."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

ADMIN_PORT = 10500


class Emulator:
    """One running `sim`."""

    def __init__(self, host: str, *options: str) -> None:
        self.host = host
        command = [sys.executable, "-m", "insertion_vla_sim.main_sim", "--host", host, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert "ready" in line, f"the simulation did not start: {line!r}"
        for child in psutil.Process(self.process.pid).children():
            child.send_signal(signal.SIGKILL)  # the renderer: it costs half a core and shows nothing here

    def admin(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """One request to the admin socket."""
        with socket.create_connection((self.host, ADMIN_PORT), timeout=5.0) as connection:
            connection.sendall((json.dumps({"cmd": cmd, **fields}) + "\n").encode())
            answer = json.loads(connection.makefile().readline())
        assert answer["ok"], answer
        return answer

    def stats(self) -> dict[str, Any]:
        return self.admin("stats")

    def wait(self, predicate: Any, timeout_s: float = 5.0) -> dict[str, Any]:
        """The first statistics that satisfy the predicate."""
        deadline_s = time.monotonic() + timeout_s
        while not predicate(stats := self.stats()):
            assert time.monotonic() < deadline_s, stats
        return stats

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10.0) == 0
        self.process.stdout.close()


@contextmanager
def running(host: str, *options: str) -> Iterator[Emulator]:
    emulator = Emulator(host, *options)
    try:
        yield emulator
    finally:
        emulator.close()


def environment(domain_id: int) -> dict[str, str]:
    """For a node process of a test."""
    return dict(os.environ, ROS_DOMAIN_ID=str(domain_id), ROS_PYTHON_CHECK_FIELDS="1")
