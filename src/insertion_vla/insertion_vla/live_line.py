"""One line of a terminal that is written again and again; plain lines where there is no terminal."""

import os
import shutil
import sys
from typing import IO

CLEAR_TO_END = "\x1b[K"


class LiveLine:
    """Writes to the controlling terminal, because under launch stdout is a pipe that prefixes whole lines.

    Without a terminal `show` prints a line only when its `key` changes.
    """

    def __init__(self, enabled: bool = True) -> None:
        """Opens the terminal; disabled it shows and prints nothing."""
        self._enabled = enabled
        self._terminal = _open_terminal() if enabled else None
        self._key = ""
        self._shown = False

    @property
    def live(self) -> bool:
        """Whether there is a terminal."""
        return self._terminal is not None

    def show(self, text: str, key: str) -> None:
        """Replaces the line; `key` is what a reader without a terminal wants to know about."""
        if self._terminal is None:
            if key != self._key and self._enabled:
                print(text, flush=True)
            self._key = key
            return
        width = shutil.get_terminal_size().columns
        # The cursor returns to the first column, so that a log line from elsewhere begins there.
        self._write(f"\r{text[: width - 1]}{CLEAR_TO_END}\r")
        self._shown = True

    def print(self, text: str) -> None:
        """Prints lines that stay, below which the live line goes on."""
        if self._terminal is None:
            if self._enabled:
                print(text, flush=True)
        else:
            self._write(f"\r{CLEAR_TO_END}{text}\n")
            self._shown = False

    def close(self) -> None:
        """Leaves the terminal with an empty line."""
        if self._terminal is not None:
            if self._shown:
                self._write(f"\r{CLEAR_TO_END}")
            self._terminal.close()
            self._terminal = None

    def _write(self, text: str) -> None:
        assert self._terminal is not None
        try:
            self._terminal.write(text)
            self._terminal.flush()
        except OSError:  # the terminal window was closed
            self._terminal = None


def _open_terminal() -> IO[str] | None:
    if sys.stdout.isatty():
        return os.fdopen(os.dup(sys.stdout.fileno()), "w")
    try:
        return open("/dev/tty", "w")
    except OSError:
        return None
