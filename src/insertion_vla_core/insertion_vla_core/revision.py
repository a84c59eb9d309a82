"""Which state of the source runs, for recordings and reports."""

from __future__ import annotations

import subprocess
from pathlib import Path

TIMEOUT_S = 10.0


def git_revision(place: str | Path) -> str:
    """The commit (hex) of the working tree around `place`, with "-dirty" for changes; "" where git knows none."""
    folder = Path(place).resolve()
    command = ["git", "-C", str(folder if folder.is_dir() else folder.parent)]
    try:
        commit = _output([*command, "rev-parse", "HEAD"])
        changes = _output([*command, "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("-dirty" if changes else "")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout.strip()
