"""Benchmark of the running demo graph: `make bench`, at most three minutes.

Starts the simulation and the whole stack, runs insertions for the measured time and prints rates, latencies, CPU and
memory against their bounds; then stops the arm in mid-motion and measures how long it takes to stand still. Saves
bench/bench.json and bench/bench.png. Exit code 0 only if every bound holds.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import probe as probe_module
import report
from probe import Probe
from processes import ProcessMeter
from std_srvs.srv import Trigger

from insertion_vla_interfaces.action import RunInsertion
from insertion_vla_interfaces.msg import SystemState

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTION = "insert the needle into the {} trocar"
STOP_ABOVE_M_S = 0.005


class Admin:
    """Client of the simulation's admin socket: one JSON object per line."""

    def __init__(self, host: str) -> None:
        self._stream = socket.create_connection((host, 10500), timeout=10).makefile("rw")

    def __call__(self, cmd: str, **fields) -> dict:
        self._stream.write(json.dumps({"cmd": cmd, **fields}) + "\n")
        self._stream.flush()
        answer = json.loads(self._stream.readline())
        if not answer.pop("ok"):
            raise RuntimeError(f"the simulation refused {cmd}: {answer['error']}")
        return answer


def start_graph(host: str, log: Path) -> subprocess.Popen:
    command = ["ros2", "launch", "insertion_vla", "inference.launch.py", f"host:={host}", "status:=false"]
    log.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True)


def run_goal(probe: Probe, admin: Admin, seed: int):
    """Resets the scene and sends one goal; returns the goal handle."""
    target = admin("reset", seed=seed)["target"]
    goal = RunInsertion.Goal(instruction=INSTRUCTION.format(target))
    handle = probe.wait(probe.goals.send_goal_async(goal), 10, "the action run_insertion")
    if not handle.accepted:
        raise RuntimeError("expected the goal to be accepted; the task refused it: see the launch's log")
    return handle


def measure_runs(probe: Probe, admin: Admin, duration_s: float) -> tuple[int, int, float]:
    """Runs insertions until the time is over: (insertions that succeeded, insertions, elapsed)."""
    started, succeeded, runs = time.monotonic(), 0, 0
    while (left := duration_s - (time.monotonic() - started)) > 1.0:
        handle = run_goal(probe, admin, seed=100 + runs)
        probe.collecting = True
        result = handle.get_result_async()
        if not probe.spin_until(result.done, left):
            probe.wait(handle.cancel_goal_async(), 10, "cancelling the goal")
            probe.wait(result, 10, "the cancelled goal")
            break
        runs, succeeded = runs + 1, succeeded + result.result().result.success
        print(f"  insertion {runs}: {'succeeded' if result.result().result.success else result.result().result.reason}")
    return succeeded, runs, time.monotonic() - started


def time_to_standstill(probe: Probe, admin: Admin) -> float:
    """Seconds from the call of arm/stop in mid-motion to the emulated arm's standstill."""
    run_goal(probe, admin, seed=999)
    moving = lambda: admin("stats")["arm"]["tip_speed_m_s"] > STOP_ABOVE_M_S  # noqa: E731
    if not probe.spin_until(moving, 20):
        raise RuntimeError("expected the arm to move within 20 s of a goal; it did not")
    called = time.monotonic()
    probe.wait(probe.stop.call_async(Trigger.Request()), 5, "arm/stop")
    if not probe.spin_until(lambda: not admin("stats")["arm"]["moving"], 5):
        raise RuntimeError("expected the arm to stand still within 5 s of arm/stop; it moves on")
    return admin("stats")["arm"]["standstill_s"] - called


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="measured time, 10 to 120 (default 60)")
    parser.add_argument("--host", default="127.0.0.51", help="loopback address of the simulated devices")
    parser.add_argument("--output", type=Path, default=ROOT / "bench", help="folder of bench.json and bench.png")
    arguments = parser.parse_args()
    if not 10 <= arguments.seconds <= 120:
        parser.error(f"--seconds: expected 10 to 120, got {arguments.seconds:g}")
    os.environ.setdefault("ROS_DOMAIN_ID", "78")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    log = arguments.output / "launch.log"
    print(f"starting the graph (log: {log})", flush=True)
    launch = start_graph(arguments.host, log)
    probe = probe_module.start()
    try:
        if not probe.spin_until(lambda: probe.system_state == SystemState.ACTIVE or launch.poll() is not None, 60):
            raise RuntimeError(f"expected the graph to be active within 60 s; it is not: {probe.system_reason}")
        if launch.poll() is not None:
            raise RuntimeError(
                f"expected the launch to keep running; it ended with exit code {launch.returncode}: see {log}"
            )
        return measure(arguments, probe, Admin(arguments.host), launch)
    except RuntimeError as error:
        print(f"bench failed: {error}", file=sys.stderr)
        return 1
    finally:
        probe.close()
        if launch.poll() is None:
            launch.send_signal(signal.SIGINT)
        launch.wait(30)


def measure(arguments: argparse.Namespace, probe: Probe, admin: Admin, launch: subprocess.Popen) -> int:
    print(f"measuring {arguments.seconds:.0f} s of insertions", flush=True)
    meter = ProcessMeter(launch.pid)
    meter.start()
    sent_before = admin("stats")["force"]["records"]
    succeeded, runs, elapsed = measure_runs(probe, admin, arguments.seconds)
    sent = admin("stats")["force"]["records"] - sent_before
    probe.collecting = False
    processes = meter.stop(elapsed)
    intervals = probe_module.chunk_intervals(probe.chunk_times)
    stop_s = time_to_standstill(probe, admin)
    figures = [
        *report.force_figures(probe.samples, sent, elapsed, probe.receive_buffer),
        *report.action_figures(probe.samples, intervals),
        *report.features_figures(probe.samples),
        report.Figure("time to standstill on arm/stop", stop_s * 1e3, "ms", high=100.0),
        report.Figure("memory of the graph", sum(p["pss_mb"] for p in processes.values()), "MB PSS", high=1500.0),
        report.Figure("CPU of the graph", sum(p["cpu_percent"] for p in processes.values()), "% core"),
        report.Figure("insertions that succeeded", succeeded, f"of {runs}"),
    ]
    report.print_table(figures, processes)
    report.save(arguments.output, figures, processes, probe.samples, intervals)
    print(f"\nsaved {arguments.output / 'bench.json'} and {arguments.output / 'bench.png'}")
    missed = [figure.name for figure in figures if not figure.holds]
    print("every bound holds" if not missed else f"missed: {', '.join(missed)}")
    return 0 if not missed else 1


if __name__ == "__main__":
    sys.exit(main())
