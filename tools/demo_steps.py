"""What the demonstrations of data and training share: verbs with their output in a log, checks, a line per step."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 15


class StepFailed(Exception):
    """A step did not do what it should; the sentence says what to do."""


@dataclass(frozen=True)
class Done:
    """What a command took, and what it printed."""

    elapsed_s: float
    cpu_s: float
    text: str


class Steps:
    """Commands that write into one log; progress stays on the screen where there is one."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def run(self, verb: str, *words: object, codes: Sequence[int] = (0,)) -> Done:
        """Run a verb of insertion_vla_training."""
        return self.call([sys.executable, "-m", f"insertion_vla_training.{verb}", *map(str, words)], verb, codes)

    def call(self, command: Sequence[str], name: str, codes: Sequence[int] = (0,)) -> Done:
        """Run a command; raises StepFailed for other exit codes than these."""
        started_s, before = time.monotonic(), os.times()
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(map(str, command[1:]))}\n")
            log.flush()
            offset = log.tell()
            shown = None if sys.stderr.isatty() else log
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=shown, text=True)
            log.write(result.stdout)
        after = os.times()
        if result.returncode not in codes:
            tail = "\n    ".join(self.log.read_text()[offset:].strip().splitlines()[-TAIL_LINES:])
            raise StepFailed(
                f"{name} ended with code {result.returncode}; its last words are below, all of them in {self.log}\n    "
                f"{tail}"
            )
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        return Done(time.monotonic() - started_s, cpu_s, result.stdout)


def require(held: bool, otherwise: str) -> None:
    """Raises StepFailed unless a check holds."""
    if not held:
        raise StepFailed(f"{otherwise}; see the log")


def megabytes(folder: Path) -> str:
    """Size of what is in a folder."""
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:.1f} MB"


def play(steps: Sequence[Callable[[], str]], folder: Path) -> int:
    """Take the steps, a line each; the exit code."""
    started_s = time.monotonic()
    for step in steps:
        step_s = time.monotonic()
        try:
            words = step()
        except (StepFailed, OSError, ValueError, KeyError) as error:
            print(f"{step.__name__:10s} FAILED: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"{step.__name__:10s} interrupted", file=sys.stderr)
            return 130
        print(f"{step.__name__:10s} {words} ({time.monotonic() - step_s:.0f} s)", flush=True)
    print(f"every check holds: {folder} in {time.monotonic() - started_s:.0f} s", flush=True)
    return 0
