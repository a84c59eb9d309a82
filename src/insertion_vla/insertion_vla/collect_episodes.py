"""`collect_episodes`: runs one insertion of the scripted expert after the other on a running graph that records them.

Started by collect.launch.py. Before each insertion the simulation is reset to the next seed; afterwards the recorder's
episode is labelled by the simulation's truth, which the robot's own sensors do not know. Ends with a summary; exit code
0 when every episode was recorded and none of them is bad.
"""

import argparse
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from insertion_vla_core.recording_index import Recording, read_index
from rclpy.utilities import remove_ros_args

from insertion_vla import qos
from insertion_vla.live_line import LiveLine
from insertion_vla.run_client import Interrupted, RunClient, RunError
from insertion_vla.sim_admin import AdminError, SimAdmin
from insertion_vla.trial_results import Trial
from insertion_vla.trials import run_seed
from insertion_vla_interfaces.msg import EpisodeStatus, SystemState
from insertion_vla_interfaces.srv import LabelEpisode

ACTIVE_TIMEOUT_S = 90.0
SETTLED_S = 5.0  # after everything is active: processes that have just started take the cores from the cameras
AT_REST_S = 2.2  # the recorder keeps the two seconds before a goal: they must not show the jump of the reset
LABEL_TIMEOUT_S = 10.0


class Collector:
    """Collects on one running graph."""

    def __init__(self, client: RunClient, admin: SimAdmin, folder: Path, line: LiveLine) -> None:
        self._client, self._admin, self._folder, self._line = client, admin, folder, line
        self._status: EpisodeStatus | None = None
        client.node.create_subscription(EpisodeStatus, "episode/status", self._on_status, qos.STATE)

    def collect(self, seed: int, randomisation: str, timeout_s: float) -> Recording:
        """One episode, recorded and labelled; raises RunError when the recorder has none to show for it."""
        if self._client.view.system is None or self._client.view.system.state != SystemState.ACTIVE:
            # A node that gave up in the last episode must not end the whole collection.
            self._client.trigger("system/start")
            self._client.wait_active(ACTIVE_TIMEOUT_S)
        before = {entry.name for entry in read_index(self._folder)}
        trial = run_seed(seed, "scripted", timeout_s, self._client, self._admin, randomisation, AT_REST_S)
        deadline_s = time.monotonic() + LABEL_TIMEOUT_S
        while not (new := [entry for entry in read_index(self._folder) if entry.name not in before]):
            if time.monotonic() > deadline_s:
                why = self._status.reason if self._status is not None else "the recorder is not there"
                raise RunError(f"seed {seed} was not recorded within {LABEL_TIMEOUT_S:g} s of its end: {why}")
            self._client.wait(0.2)
        self._label(seed, randomisation, trial)
        return next(entry for entry in read_index(self._folder) if entry.name == new[0].name)

    def _label(self, seed: int, randomisation: str, trial: Trial) -> None:
        notes = (
            f"seed {seed} of {randomisation}; {trial.reason}: {trial.lateral_mm:.2f} mm off the axis, "
            f"{trial.overshoot_mm:+.2f} mm past the membrane, peak force {trial.peak_force_n:.2f} N"
        )
        outcome = "success" if trial.truth_success else "failure"
        request = LabelEpisode.Request(outcome=outcome, notes=notes)
        answer: Any = self._client.call(LabelEpisode, "episode/label", request)
        if not answer.success:
            raise RunError(answer.message)

    def _on_status(self, message: EpisodeStatus) -> None:
        self._status = message


def main() -> int:
    """Collects the episodes."""
    parser = argparse.ArgumentParser(prog="collect_episodes", description="Record episodes on a running graph.")
    parser.add_argument("--episodes", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode")
    parser.add_argument("--randomisation", default="train", help="train or heldout")
    parser.add_argument("--timeout", type=float, default=60.0, help="[s] of each goal")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address of the simulation")
    parser.add_argument("--folder", type=Path, required=True, help="where the recorder writes")
    given = parser.parse_args(remove_ros_args(sys.argv)[1:])
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    line = LiveLine()
    client = RunClient("collect_episodes", line, lambda: "", interrupted)
    done: list[Recording] = []
    try:
        client.wait_active(ACTIVE_TIMEOUT_S)
        client.wait(SETTLED_S)
        collector = Collector(client, SimAdmin(given.host), given.folder, line)
        for index in range(given.episodes):
            entry = collector.collect(given.seed + index, given.randomisation, given.timeout)
            done.append(entry)
            verdict = f"bad: {'; '.join(entry.reasons)}" if entry.bad else f"{entry.messages} messages"
            line.print(
                f"{index + 1}/{given.episodes} {entry.name}: seed {given.seed + index}, {entry.outcome}, "
                f"{entry.duration_s:.0f} s, {verdict}"
            )
    except Interrupted:
        line.print("collect_episodes: stopped; the episodes that were recorded stay")
    except (RunError, AdminError) as error:
        line.print(f"collect_episodes: {error}")
    finally:
        client.close()
        line.close()
    print(summary(done, given.episodes, given.folder), flush=True)
    return 0 if len(done) == given.episodes and not any(entry.bad for entry in done) else 1


def summary(done: list[Recording], wanted: int, folder: Path) -> str:
    """What was recorded, in one line."""
    good, bad = sum(entry.outcome == "success" for entry in done), sum(entry.bad for entry in done)
    seconds, size_mb = sum(entry.duration_s for entry in done), sum(entry.bytes for entry in done) / 1e6
    return (
        f"collected {len(done)} of {wanted} episodes in {folder}: {good} successful, {bad} bad, "
        f"{seconds:.0f} s, {size_mb:.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
