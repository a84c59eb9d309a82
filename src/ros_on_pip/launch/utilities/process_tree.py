"""Descendants of a process, by Linux's /proc."""

from __future__ import annotations

import os
import signal

# A number may be given to a new process; with its start time it names one process for good.
ProcessId = tuple[int, int]


def _stat(pid: int) -> tuple[int, int, str] | None:
    """(parent, start time in clock ticks, state), or None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # The name, in parentheses, may contain anything; what follows it is fixed.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[19]), fields[0]


def descendants(pid: int) -> list[ProcessId]:
    """All children of the process, their children, and so on."""
    children: dict[int, list[ProcessId]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))) is not None:
            children.setdefault(stat[0], []).append((int(entry), stat[1]))
    found: list[ProcessId] = []
    parents = [pid]
    while parents:
        own = children.get(parents.pop(), [])
        found += own
        parents += [child for child, _ in own]
    return found


def still_running(processes: list[ProcessId]) -> list[ProcessId]:
    """Those that have not ended."""
    alive = []
    for pid, start in processes:
        stat = _stat(pid)
        if stat is not None and stat[1] == start and stat[2] not in "ZX":
            alive.append((pid, start))
    return alive


def send_signal(processes: list[ProcessId], signum: signal.Signals) -> None:
    """Signal those that have not ended."""
    for pid, _ in still_running(processes):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue  # ended in between
