"""`make demo`: starts the whole stack on the simulation, runs one insertion, asks the simulation whether it is true.

Arguments in launch style: `seed:=7 instruction:='insert the needle into the green trocar' policy:=visual_servo`.
Exit code 0 only if the needle is in the named trocar; 2 on a wrong argument, 130 when a person stopped it.
"""

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from insertion_vla import launch_arguments as check
from insertion_vla.free_addresses import free_domain, free_host
from insertion_vla.live_line import LiveLine
from insertion_vla.sim_admin import AdminError, SimAdmin, named_target
from insertion_vla.stack_process import StackProcess

INSTRUCTION = "insert the needle into the green trocar"
ARGUMENTS = {
    "seed": "1",
    "instruction": INSTRUCTION,
    "policy": "diffusion",
    "timeout": "0",
    "host": "",
    "video": "",
    "viewer": "false",
    "log_level": "info",
    "record": "",
}
NOT_FOR_LAUNCH = ("instruction", "timeout")
RUNS = Path("runs")
ACTIVE_TIMEOUT_S = 90.0


def main() -> int:
    """Runs the demo."""
    started_s = time.monotonic()
    line = LiveLine()
    try:
        given = check.assignments(sys.argv[1:], ARGUMENTS)
        timeout_s = check.seconds("timeout", given["timeout"])
        check.seed(given["seed"])
        host = check.loopback(given["host"]) if given["host"] else free_host()
        domain = os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    except (ValueError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    RUNS.mkdir(exist_ok=True)
    name = f"demo-seed{given['seed']}-{time.strftime('%Y%m%d-%H%M%S')}"
    video = Path(given["video"] or RUNS / f"{name}.mp4").absolute()
    log = (RUNS / f"{name}.log").absolute()
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    line.print(f"demo: seed {given['seed']}, '{given['instruction']}', policy {given['policy']}")
    line.print(f"demo: simulation at {host}, ROS domain {domain}, log {log}")

    arguments = {key: value for key, value in given.items() if key not in NOT_FOR_LAUNCH and value}
    stack = StackProcess(arguments | {"host": host, "video": str(video), "status": "false"}, log, line.print)
    try:
        rows, success = _run(given["instruction"], timeout_s, host, stack, line, interrupted, started_s)
    except _Ended as end:
        line.print(f"demo: {end}")
        rows, success = [], None
    line.show("ending the launch", "ending")
    code = stack.stop()
    line.close()
    if code != 0:
        print(f"demo: the launch ended with code {code}: see {log}", file=sys.stderr)
    if rows:
        from insertion_vla.summary import table

        print(table(f"Insertion, seed {given['seed']}", [*rows, ("video", str(video) if video.exists() else "none")]))
    if success is None:
        return 130 if interrupted.is_set() else 1
    return 0 if success and code == 0 else 1


class _Ended(Exception):
    """The run is over before its time; the sentence says why."""


def _run(
    instruction: str,
    timeout_s: float,
    host: str,
    stack: StackProcess,
    line: LiveLine,
    interrupted: threading.Event,
    started_s: float,
) -> tuple[list[tuple[str, str]], bool]:
    """One insertion; the rows of its table and whether the needle is really in."""
    # Imported while the launch is starting its processes: rclpy takes a moment.
    from insertion_vla.run_client import Interrupted, RunClient, RunError
    from insertion_vla.summary import result_rows

    client = RunClient("demo", line, stack.ended, interrupted)
    try:
        client.wait_active(ACTIVE_TIMEOUT_S)
        active_s = time.monotonic() - started_s
        result = client.run(instruction, timeout_s)
        admin = SimAdmin(host)
        truth = admin.ask("truth", target=named_target(instruction))["truth"]
        admin.close()
    except Interrupted:
        interrupted.set()
        raise _Ended("stopped") from None
    except (RunError, AdminError) as error:
        raise _Ended(str(error)) from None
    finally:
        client.close()
    first_s = client.first_motion_s - started_s
    motion = f"first motion after {first_s:.1f} s" if math.isfinite(first_s) else "no motion"
    rows = [("start", f"ACTIVE after {active_s:.1f} s, {motion}"), *result_rows(result), ("truth", truth_words(truth))]
    return rows, result.success and bool(truth["success"])


def truth_words(truth: dict[str, Any]) -> str:
    """The simulation's verdict in one sentence."""
    verdict = "is in" if truth["success"] else "is NOT in"
    return (
        f"the needle {verdict} the {truth['target']} trocar: {truth['lateral_m'] * 1e3:.2f} mm off the axis, "
        f"{truth['overshoot_m'] * 1e3:+.2f} mm past the membrane, peak force {truth['peak_force_n']:.2f} N"
    )


if __name__ == "__main__":
    sys.exit(main())
