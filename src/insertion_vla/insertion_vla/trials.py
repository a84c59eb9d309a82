"""`make trials`: many seeds through the full running graph; the success rate with its 95 % interval.

The stack is launched once; before each insertion the simulation is reset to the next seed. Arguments in launch style:
`seeds:=50 first_seed:=100 policy:=visual_servo output:=runs/trials.jsonl`. Seeds already in the output are not run
again, so that an interrupted run goes on where it ended. Exit code 0 when every seed was run.
"""

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

from insertion_vla import launch_arguments as check
from insertion_vla.free_addresses import free_domain, free_host
from insertion_vla.live_line import LiveLine
from insertion_vla.sim_admin import AdminError, SimAdmin
from insertion_vla.stack_process import StackProcess
from insertion_vla.trial_results import Trial, append, load, report

ARGUMENTS = {
    "seeds": "50",
    "first_seed": "1000",
    "policy": "diffusion",
    "randomisation": "train",
    "timeout": "90",
    "host": "",
    "output": "",
}
RUNS = Path("runs")
RANDOMISATIONS = ("train", "heldout")  # of the simulation
ACTIVE_TIMEOUT_S = 90.0
SETTLE_S = 1.0
TARE_WINDOW_S = 1.1
REST_TIMEOUT_S = 10.0
SAME_STATES = 4  # of arm/state, 50 ms apart


def main() -> int:
    """Runs the trials."""
    try:
        given = check.assignments(sys.argv[1:], ARGUMENTS)
        first, number = check.seed(given["first_seed"]), check.count("seeds", given["seeds"])
        timeout_s = check.seconds("timeout", given["timeout"])
        RUNS.mkdir(exist_ok=True)
        output = Path(given["output"] or RUNS / f"trials-{Path(given['policy']).name}.jsonl").absolute()
        check.one_of("randomisation", given["randomisation"], RANDOMISATIONS)
        done = load(output, given["policy"])
        host = check.loopback(given["host"]) if given["host"] else free_host()
        os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    except (ValueError, OSError) as error:
        print(f"trials: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    seeds = range(first, first + number)
    todo = [seed for seed in seeds if seed not in done]
    line = LiveLine()
    if todo:
        line.print(f"trials: {len(todo)} of {number} seeds to run, results in {output}")
        interrupted = threading.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, lambda *_: interrupted.set())
        log = output.with_suffix(".log")
        arguments = {"policy": given["policy"], "seed": str(todo[0]), "host": host, "status": "false"}
        stack = StackProcess(arguments, log, line.print)
        try:
            _run_all(todo, given["policy"], given["randomisation"], timeout_s, host, stack, line, interrupted, output)
        finally:
            stack.stop()
            line.close()
    done = load(output, given["policy"])
    print(report([done[seed] for seed in seeds if seed in done]))
    return 0 if all(seed in done for seed in seeds) else 1


def _run_all(
    todo: list[int],
    policy: str,
    randomisation: str,
    timeout_s: float,
    host: str,
    stack: StackProcess,
    line: LiveLine,
    interrupted: threading.Event,
    output: Path,
) -> None:
    from insertion_vla.run_client import Interrupted, RunClient, RunError

    client = RunClient("trials", line, stack.ended, interrupted)
    started_s = time.monotonic()
    try:
        client.wait_active(ACTIVE_TIMEOUT_S)
        admin = SimAdmin(host)
        for index, seed in enumerate(todo, 1):
            trial = run_seed(seed, policy, timeout_s, client, admin, randomisation)
            append(output, trial)
            left_s = (time.monotonic() - started_s) / index * (len(todo) - index)
            line.print(
                f"{index}/{len(todo)} seed {seed} {trial.target}: {'in' if trial.success else 'NOT in'}, "
                f"{trial.duration_s:.0f} s, {trial.reason}; {left_s / 60:.0f} min left"
            )
        admin.close()
    except Interrupted:
        line.print("trials: stopped; start again to go on")
    except (RunError, AdminError) as error:
        line.print(f"trials: {error}")
    finally:
        client.close()


def run_seed(
    seed: int, policy: str, timeout_s: float, client, admin: SimAdmin, randomisation: str = "train", wait_s: float = 0.0
) -> Trial:
    """Resets the scene and runs one insertion; a fault left by the one before is cleared as a person would.

    Args:
        seed, randomisation: of the scene.
        policy: for the result.
        timeout_s: of the goal.
        client, admin: of the running graph and its simulation.
        wait_s: least time at rest between the reset and the goal.
    """
    from insertion_vla.run_client import RunError
    from insertion_vla_interfaces.msg import ArmState

    target = admin.ask("reset", seed=seed, randomisation=randomisation)["target"]
    client.wait(max(TARE_WINDOW_S, wait_s))  # samples from before the reset would spoil the tare
    if not client.wait_arm((ArmState.HOLD,), SETTLE_S):
        client.trigger("force_sensor/tare")  # without newtons the gate refuses to be armed
        answer = client.trigger("arm/rearm")
        if not client.wait_arm((ArmState.HOLD,), REST_TIMEOUT_S):
            # No trial: the insertion was not even tried.
            raise RunError(f"the arm cannot be made ready for seed {seed}: {answer.message}")
    client.wait_active(ACTIVE_TIMEOUT_S)
    for _ in range(SAME_STATES):
        client.wait_arm((ArmState.HOLD,), SETTLE_S)  # by now the task node has heard it too
    result = client.run(f"insert the needle into the {target} trocar", timeout_s)
    if not result.success and result.duration == 0.0:
        raise RunError(f"the goal for seed {seed} was refused: {result.reason}")
    truth = admin.ask("truth", target=target)["truth"]
    return Trial(
        policy=policy,
        seed=seed,
        target=target,
        task_success=result.success,
        truth_success=bool(truth["success"]),
        reason=result.reason,
        duration_s=round(result.duration, 4),
        peak_force_n=round(truth["peak_force_n"], 4),
        lateral_mm=round(truth["lateral_m"] * 1e3, 4),
        overshoot_mm=round(truth["overshoot_m"] * 1e3, 4),
        action_rate_hz=_rounded(result.action_rate),
        action_interval_p99_s=_rounded(result.action_interval_p99),
        features_age_p99_s=_rounded(result.features_age_p99),
    )


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


if __name__ == "__main__":
    sys.exit(main())
