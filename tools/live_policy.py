#!/usr/bin/env python3
"""A trained policy in the running graph: does it hold 10 Hz? Starts the simulation and the whole stack with
policy:=FOLDER, sends goals for the measured time and prints one JSON line of rates and latencies. Whether a needle goes
in is not asked. Exit code 0 only if chunks come at 10 Hz.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools" / "bench"))
import probe as probe_module  # noqa: E402
from probe import Probe  # noqa: E402

from insertion_vla_interfaces.action import RunInsertion  # noqa: E402
from insertion_vla_interfaces.msg import SystemState  # noqa: E402

ACTIVE_S, GOAL_S = 180.0, 10.0
LEAST_HZ, LONGEST_S = 9.5, 0.35  # two missed ticks in a row are one too many
INSTRUCTION = "insert the needle into the green trocar"


def main() -> int:
    parser = argparse.ArgumentParser(description="Rate and latency of a policy in the running graph.")
    parser.add_argument("policy", type=Path, help="folder of the policy")
    parser.add_argument("--seconds", type=float, default=15.0, help="of goals, 5 to 120 (15)")
    parser.add_argument("--host", default="127.0.0.53", help="loopback address of the simulated devices")
    parser.add_argument("--log", type=Path, default=Path("launch.log"), help="output of the launch")
    given = parser.parse_args()
    if not 5.0 <= given.seconds <= 120.0:
        parser.error(f"expected --seconds from 5 to 120, got {given.seconds:g}")
    os.environ.setdefault("ROS_DOMAIN_ID", "79")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    words = [f"policy:={given.policy.resolve()}", f"host:={given.host}", "status:=false", "seed:=3"]
    with given.log.open("wb") as log:
        launch = subprocess.Popen(
            ["ros2", "launch", "insertion_vla", "inference.launch.py", *words],
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        probe = probe_module.start()
        active = probe.spin_until(
            lambda: probe.system_state == SystemState.ACTIVE or launch.poll() is not None, ACTIVE_S
        )
        if not active or launch.poll() is not None:
            print(
                f"expected the graph to be active, it is not ({probe.system_reason}): see {given.log}", file=sys.stderr
            )
            return 1
        run_goals(probe, given.seconds)
    except RuntimeError as error:
        print(f"{error}: see {given.log}", file=sys.stderr)
        return 1
    finally:
        if launch.poll() is None:
            launch.send_signal(signal.SIGINT)
        launch.wait(30)
    return tell(probe)


def run_goals(probe: Probe, seconds: float) -> None:
    """Goals one after the other; each is cancelled when its time is up."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        goal = RunInsertion.Goal(instruction=INSTRUCTION)
        handle = probe.wait(probe.goals.send_goal_async(goal), 10, "the action run_insertion")
        if not handle.accepted:
            raise RuntimeError("expected the goal to be accepted; the task refused it")
        probe.collecting = True
        result = handle.get_result_async()
        if not probe.spin_until(result.done, min(GOAL_S, max(1.0, end_s - time.monotonic()))):
            probe.wait(handle.cancel_goal_async(), 10, "cancelling the goal")
            probe.wait(result, 10, "the cancelled goal")
        probe.collecting = False


def tell(probe: Probe) -> int:
    """One line of figures; the exit code says whether they hold."""
    intervals = probe_module.chunk_intervals(probe.chunk_times)
    if len(intervals) < 20:
        print(f"expected chunks of the policy, got {len(intervals)}: it never acted", file=sys.stderr)
        return 1
    figures = {
        "chunks": len(intervals) + len(probe.chunk_times),
        "rate_hz": 1.0 / float(intervals.mean()),
        "interval_p99_ms": 1e3 * float(np.quantile(intervals, 0.99)),
        "interval_max_ms": 1e3 * float(intervals.max()),
        "inference_p50_ms": 1e3 * float(np.quantile(probe.samples["inference"], 0.5)),
        "inference_p99_ms": 1e3 * float(np.quantile(probe.samples["inference"], 0.99)),
        "observation_to_command_p50_ms": 1e3 * float(np.quantile(probe.samples["observation_to_command"], 0.5)),
        "features_age_p50_ms": 1e3 * float(np.quantile(probe.samples["features_age"], 0.5)),
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
    return 0 if figures["rate_hz"] >= LEAST_HZ and figures["interval_max_ms"] <= 1e3 * LONGEST_S else 1


if __name__ == "__main__":
    sys.exit(main())
