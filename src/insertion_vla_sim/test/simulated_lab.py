"""Helpers of the emulator tests: a running `sim` process, its admin socket, and an arm that obeys at once."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

START_S = 30.0
TCP_PORTS = (10000, 10001, 10500, 5556)


class Arm:
    """Kinematic stand-in for the world: joints follow the rates within an acceleration limit."""

    def __init__(self, q: np.ndarray, acceleration: float = 12.0) -> None:
        self.q, self.dq = np.array(q, float), np.zeros(len(q))
        self._change = acceleration / 650.0

    def step(self, rates: np.ndarray) -> None:
        change = rates - self.dq
        self.dq = self.dq + change / max(float(np.abs(change).max()) / self._change, 1.0)
        self.q = self.q + self.dq / 650.0


class Lab:
    """A `sim` process on its own loopback address."""

    def __init__(self, host: str, *options: str) -> None:
        self.host = host
        self.process = subprocess.Popen(
            [sys.executable, "-m", "insertion_vla_sim.main_sim", "--host", host, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        self.first_line = self.process.stdout.readline() if ready else ""
        if "ready" not in self.first_line:
            self.process.kill()
            raise RuntimeError(f"sim did not start: {self.first_line!r} {self.process.communicate()}")
        self._admin = socket.create_connection((host, 10500), timeout=10.0)
        self._lines = self._admin.makefile("r")

    def ask(self, cmd: str, **fields: Any) -> dict[str, Any]:
        return self.ask_raw(json.dumps({"cmd": cmd, **fields}))

    def ask_raw(self, line: str) -> dict[str, Any]:
        self._admin.sendall(line.encode() + b"\n")
        return json.loads(self._lines.readline())

    def do(self, cmd: str, **fields: Any) -> dict[str, Any]:
        answer = self.ask(cmd, **fields)
        assert answer["ok"], answer
        return answer

    def until(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 5.0) -> dict[str, Any]:
        """Stats once they meet the condition; each question waits for the next physics tick."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            stats = self.do("stats")
            if condition(stats):
                return stats
            assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {stats}"

    def renderers(self) -> list[int]:
        return children(self.process.pid)

    def end(self, how: int | None = signal.SIGTERM) -> tuple[int, str, str]:
        """End it; returns exit code, stdout and stderr."""
        if how is not None and self.process.poll() is None:
            self.process.send_signal(how)
        self._admin.close()
        out, err = self.process.communicate(timeout=20.0)
        return self.process.returncode, out, err


def children(pid: int) -> list[int]:
    """Process ids whose parent is pid."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that waits for its parent has)."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition came true in time."""
    pause = select.poll()
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        pause.poll(5)
    return True


def ports_free(host: str) -> bool:
    """Whether every port of the emulators can be bound again."""
    for port in TCP_PORTS:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen()
            except OSError:
                return False
    return True
