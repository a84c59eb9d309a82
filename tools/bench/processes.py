"""CPU and memory of every process of a launch, by the name of its node."""

import re

import psutil


class ProcessMeter:
    """Measures a process tree from `start` to `stop`."""

    def __init__(self, root_pid: int) -> None:
        self._root = psutil.Process(root_pid)

    def start(self) -> None:
        self._before = {p.pid: (name_of(p), p, cpu_s(p)) for p in self._tree()}

    def stop(self, elapsed_s: float) -> dict[str, dict[str, float]]:
        """{name: {"cpu_percent" of one core, "pss_mb"}} of the processes that lived all the time."""
        figures = {}
        for name, process, before in self._before.values():
            if process.is_running():
                figures[name] = {
                    "cpu_percent": 100.0 * (cpu_s(process) - before) / elapsed_s,
                    "pss_mb": process.memory_full_info().pss / 1e6,
                }
        return figures

    def _tree(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def name_of(process: psutil.Process) -> str:
    """The node's name where there is one, else the program's."""
    line = process.cmdline()
    for word in line:
        if found := re.match(r"__node:=(.+)", word):
            return found.group(1)
    programs = [word.rsplit("/", 1)[-1] for word in line if not word.startswith("-")]
    names = [name for name in programs if not re.match(r"python[\d.]*$", name)]
    return (" ".join(names[:2]) if names[:1] == ["ros2"] else names[0]) if names else process.name()
