"""The launch file as a process, for tests of the whole graph."""

import os
import signal
import subprocess
import threading

import psutil


class Launch:
    """A running launch whose output is read line by line."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        command = ["ros2", "launch", "insertion_vla", "inference.launch.py", *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def wait(self, word: str, timeout_s: float = 60.0) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: any(word in line for line in self.lines), timeout_s)
        assert found, "".join(self.lines)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int, everybody: bool) -> int:
        """Sends a signal to the launch alone, or as a terminal does to the whole process group."""
        (os.killpg if everybody else os.kill)(self.process.pid, number)
        code = self.process.wait(60.0)
        self._reader.join(10.0)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL, everybody=True)
