"""`preflight`: a check / result / fix table of everything that a launch needs, before anything is powered or moves.

Arguments in launch style, the same as for inference.launch.py: `hardware:=meca500 params_file:=my_lab.yaml
policy:=diffusion`; `json:=FILE` writes the table for programs too. Nothing is activated, moved or published. On the
simulation its process is started for the checks and ended with them. Exit code 0 when nothing has to be fixed (warnings
do not count), 1 when something has, 2 on a wrong argument, 130 when a person stopped it.
"""

import json
import shutil
import signal
import sys
import textwrap
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from insertion_vla import launch_arguments as check
from insertion_vla.live_line import LiveLine
from insertion_vla.preflight_checks.finding import Finding, NotDone, Verdict
from insertion_vla.preflight_checks.middleware import check_middleware
from insertion_vla.preflight_checks.runner import Check, run_checks

if TYPE_CHECKING:
    from insertion_vla.preflight_checks.selection import Selection

ARGUMENTS = {
    "hardware": "sim",
    "policy": "diffusion",
    "cameras": "front,side,hand",
    "hosts": "robot,cameras,sensor,inference",
    "namespace": "",
    "params_file": "",
    "record": "",
    "host": "127.0.0.1",
    "json": "",
}
WORDS: dict[Verdict, str] = {"ok": "ok", "warning": "warn", "fix": "FIX", "skipped": "-"}
WIDTH = 120


def main() -> int:
    """Runs the checks."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what was begun is ended in order
    line = LiveLine()
    try:
        given = check.assignments(sys.argv[1:], ARGUMENTS)
        report = _report_file(given["json"])
        line.show("preflight: loading", "loading")
        rows = _find(given, line)
    except ValueError as error:
        line.close()
        print(f"preflight: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        line.close()
        return 130
    line.close()
    code = 1 if any(row.verdict == "fix" for row in rows) else 0
    print(table(f"Preflight: hardware {given['hardware']}, policy {given['policy']}", rows))
    if report is not None:
        content = {"arguments": given, "exit_code": code, "checks": [vars(row) for row in rows]}
        try:
            report.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            print(f"preflight: json: cannot write {report}: {error.strerror}; name another file", file=sys.stderr)
            return 2
    return code


def _find(given: dict[str, str], line: LiveLine) -> list[Finding]:
    """All rows; ports first, because the other checks bind them."""
    if rows := check_middleware():
        return rows
    # Imported late: a wrong argument is told at once, and rclpy is among it.
    from insertion_vla.preflight_checks.checkpoint import check_checkpoint
    from insertion_vla.preflight_checks.clocks import check_clocks
    from insertion_vla.preflight_checks.dds import check_dds
    from insertion_vla.preflight_checks.disk import check_disk
    from insertion_vla.preflight_checks.gpu import check_gpu
    from insertion_vla.preflight_checks.network import check_network
    from insertion_vla.preflight_checks.ports import check_ports
    from insertion_vla.preflight_checks.selection import check_parameters, select

    selection = select(given)
    waiting = partial(_waiting, line)
    first = [Check("parameters", 5.0, partial(check_parameters, selection))]
    first.append(Check("ports", 5.0, partial(check_ports, selection)))
    rows = run_checks(first, waiting)
    rest = [Check("network", 5.0, partial(check_network, selection))]
    rest.append(Check("DDS domain", 10.0, partial(check_dds, selection)))
    rest.append(Check("clock", 10.0, partial(check_clocks, selection)))
    rest.append(Check("disk", 5.0, partial(check_disk, selection)))
    if "inference" in selection.parts:
        rest.append(Check("checkpoint", 60.0, partial(check_checkpoint, selection)))
        rest.append(Check("GPU", 60.0, partial(check_gpu, selection)))
    devices = _devices(selection)
    with ExitStack() as stack:
        if selection.simulated and "robot" in selection.parts:
            from insertion_vla.preflight_checks.simulation import simulation

            waiting(["the simulation"])
            try:
                if any(row.check == "ports" and row.verdict == "fix" for row in rows):
                    raise NotDone("its ports are in use", "see the row 'ports'")
                stack.enter_context(simulation(selection.host))
            except NotDone as reason:
                devices = []
                rows.append(Finding("simulation", "fix", f"not started, its devices not checked: {reason}", reason.fix))
        return rows + run_checks([*devices, *rest], waiting)


def _devices(selection: "Selection") -> list[Check]:
    from insertion_vla.preflight_checks.cameras import check_camera
    from insertion_vla.preflight_checks.force import check_force
    from insertion_vla.preflight_checks.robot import check_robot

    checks = {
        "robot": [Check("robot", 12.0, partial(check_robot, selection))],
        "cameras": [Check(f"camera {view}", 20.0, partial(check_camera, selection, view)) for view in selection.views],
        "sensor": [Check("force rate", 10.0, partial(check_force, selection))],
    }
    return [check for part, found in checks.items() if part in selection.parts for check in found]


def _waiting(line: LiveLine, names: Sequence[str]) -> None:
    line.show(f"preflight: waiting for {', '.join(names)}", "checking")


def _report_file(value: str) -> Path | None:
    if not value:
        return None
    path = Path(value).expanduser().absolute()
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"json: expected FILE in an existing folder, got '{value}'")
    return path


def table(title: str, rows: Sequence[Finding]) -> str:
    """The rows below a title, wrapped to the terminal, each fix below its result; and what they come to."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    names = max(len(row.check) for row in rows)
    lines = [title]
    for row in rows:
        start = f"  {WORDS[row.verdict]:<4}  {row.check:<{names}}  "
        lines += _wrapped(row.result, start, " " * len(start), width)
        if row.fix:
            lines += _wrapped(row.fix, " " * len(start) + "fix: ", " " * len(start) + "     ", width)
    count = {verdict: sum(row.verdict == verdict for row in rows) for verdict in WORDS}
    lines.append(f"{count['fix']} to fix, {count['warning']} to know, {count['ok']} well")
    return "\n".join(lines)


def _wrapped(text: str, first: str, others: str, width: int) -> list[str]:
    whole = max(width, len(first) + 30)
    return textwrap.wrap(
        text, whole, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    sys.exit(main())
