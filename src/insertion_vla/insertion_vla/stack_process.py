"""The launched stack as a child process: its output in a log file, its warnings on the screen, its end by SIGINT."""

import ctypes
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

TROUBLE = re.compile(r"\[(WARN|WARNING|ERROR|FATAL)\]")
END_TIMEOUT_S = 20.0
TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1


class StackProcess:
    """`ros2 launch insertion_vla inference.launch.py` with the given arguments."""

    def __init__(self, arguments: Mapping[str, str], log: Path, show: Callable[[str], None]) -> None:
        """Starts the launch.

        Args:
            arguments: Launch arguments by name.
            log: File that gets every line of output.
            show: Called with each line that warns.
        """
        self.log = log
        self._show = show
        self._ending = False
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._file = log.open("w")
        given = [f"{name}:={value}" for name, value in arguments.items()]
        self._process = subprocess.Popen(
            ["ros2", "launch", "insertion_vla", "inference.launch.py", *given],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches this program alone, which then ends the launch in order
            preexec_fn=end_with_parent,
        )
        self._reader = threading.Thread(target=self._read, name="launch output", daemon=True)
        self._reader.start()

    def ended(self) -> str:
        """Why the launch is over, with its last words; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        self._reader.join(timeout=2.0)
        return f"the launch ended with code {code}:\n  " + "\n  ".join(self._tail)

    def stop(self) -> int:
        """Ends the launch as Ctrl-C would and returns its exit code; what it says meanwhile is in the log only."""
        self._ending = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(END_TIMEOUT_S)
                break
            except subprocess.TimeoutExpired:
                self._show(
                    f"[ERROR] the launch did not end within {END_TIMEOUT_S:g} s of {signal.Signals(number).name}"
                )
        self._reader.join(timeout=2.0)
        self._file.close()
        return self._process.returncode

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._file.write(line)
            self._file.flush()
            self._tail.append(line.rstrip())
            if TROUBLE.search(line) and not self._ending:
                self._show(line.rstrip())


def end_with_parent() -> None:
    """Without this a killed parent would leave a running robot behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
