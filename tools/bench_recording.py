"""Benchmark of the recorder: `python tools/bench_recording.py`, eleven minutes with the ten minutes of its default.

Runs insertions through the full graph with `record:=`, one bag per goal, and measures what the recorder costs and
whether anything is missing in its bags. Saves bench/recording.json. Exit code 0 only if every bound holds.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools" / "bench"))

import rclpy  # noqa: E402
import rosbag2_py  # noqa: E402
from insertion_vla.sim_admin import SimAdmin  # noqa: E402
from insertion_vla_core.episode_metadata import from_custom_data  # noqa: E402
from insertion_vla_core.recording_index import read_index  # noqa: E402
from processes import ProcessMeter  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from report import Figure, print_table  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from insertion_vla import qos  # noqa: E402
from insertion_vla_interfaces.action import RunInsertion  # noqa: E402
from insertion_vla_interfaces.msg import EpisodeStatus, ForceSamples, SystemState  # noqa: E402

INSTRUCTION = "insert the needle into the {} trocar"
FORCE = "force/samples"
MOST_CPU_PERCENT = 25.0
SETTLE_S = 2.0  # after a fault: arm and task agree again


class Client(Node):
    """Sends goals and hears little, so that the measured machine is the graph's own."""

    def __init__(self) -> None:
        super().__init__("bench_recording")
        self.system: SystemState | None = None
        self.recorder: EpisodeStatus | None = None
        self.create_subscription(SystemState, "system/state", lambda m: setattr(self, "system", m), qos.SYSTEM)
        self.create_subscription(EpisodeStatus, "episode/status", lambda m: setattr(self, "recorder", m), qos.STATE)
        self.goals = ActionClient(self, RunInsertion, "run_insertion")
        self.rearm = self.create_client(Trigger, "arm/rearm")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def spin_until(self, done, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline_s:
                return False
            self._executor.spin_once(timeout_sec=0.1)
        return True

    def insert(self, admin: SimAdmin, seed: int) -> bool:
        """One insertion in a new scene; whether it succeeded."""
        target = admin.ask("reset", seed=seed)["target"]
        sent = self.goals.send_goal_async(RunInsertion.Goal(instruction=INSTRUCTION.format(target)))
        if not self.spin_until(sent.done, 10.0) or not sent.result().accepted:
            raise RuntimeError("expected the goal to be accepted; it was not: see the launch's log")
        result = sent.result().get_result_async()
        if not self.spin_until(result.done, 120.0):
            raise RuntimeError("expected the insertion to end within 120 s; it did not")
        if not result.result().result.success:
            print(f"  {result.result().result.reason}")
            self.spin_until(self.rearm.call_async(Trigger.Request()).done, 10.0)
            self.spin_until(lambda: False, SETTLE_S)
        return result.result().result.success


def figures(folder: Path, cpu_percent: float, pss_mb: float, elapsed_s: float) -> list[Figure]:
    """What the bags hold, and what they lack."""
    entries = [entry for entry in read_index(folder) if entry.source == "recorder"]
    lost: Counter[str] = Counter()
    before, late = 0, 0.0
    for entry in entries:
        metadata = rosbag2_py.MetadataIo().read_metadata(str(folder / entry.path))
        rates = from_custom_data(metadata.custom_data, entry.path).rates
        lost.update({rate.topic: rate.lost for rate in rates})
        before += lost_before_the_node(folder / entry.path)
        late = max([late, *(rate.longest_gap_s for rate in rates if rate.topic == "joint_states")])
        print(f"  {entry.name}: {'; '.join(entry.reasons) or 'good'}")
    lost[FORCE] -= before  # the audit counts these too, but no recorder could have had them
    for topic, count in lost.items():
        if count:
            print(f"  {topic}: {count} lost")
    recorded_s = sum(entry.duration_s for entry in entries)
    return [
        Figure("CPU of the recorder", cpu_percent, "% core", high=MOST_CPU_PERCENT),
        Figure("memory of the recorder", pss_mb, "MB PSS", high=500.0),
        Figure("messages lost", sum(lost.values()), "messages", high=0),
        Figure("force samples lost before the node", before, "samples"),
        Figure("messages recorded", sum(entry.messages for entry in entries), "messages"),
        Figure("rate while recording", sum(entry.messages for entry in entries) / recorded_s, "messages/s"),
        Figure("data while recording", sum(entry.bytes for entry in entries) / recorded_s / 1e6, "MB/s"),
        Figure("on the disk", sum(f.stat().st_size for f in folder.rglob("*.mcap")) / recorded_s / 1e6, "MB/s"),
        Figure("longest gap of joint_states", late, "s"),
        Figure("episodes", len(entries), "episodes"),
        Figure("episodes that are bad", sum(entry.bad for entry in entries), f"of {len(entries)}"),
        Figure("recorded", recorded_s, f"s of {elapsed_s:.0f}"),
    ]


def lost_before_the_node(bag: Path) -> int:
    """Force samples that did not reach the force sensor's node while a bag was recorded."""
    reader = rosbag2_py.SequentialReader()
    reader.open(rosbag2_py.StorageOptions(uri=str(bag), storage_id="mcap"), rosbag2_py.ConverterOptions("cdr", "cdr"))
    reader.set_filter(rosbag2_py.StorageFilter(topics=[f"/{FORCE}"]))
    blocks = []
    while reader.has_next():
        blocks.append(reader.read_next()[1])
    first, last = (deserialize_message(data, ForceSamples).lost for data in (blocks[0], blocks[-1]))
    return last - first


def measure(arguments: argparse.Namespace, client: Client, launch: subprocess.Popen, folder: Path) -> int:
    active = lambda: client.system is not None and client.system.state == SystemState.ACTIVE  # noqa: E731
    if not client.spin_until(lambda: active() and client.recorder is not None, 60.0):
        raise RuntimeError("expected graph and recorder to be active within 60 s; see the launch's log")
    admin = SimAdmin(arguments.host)
    client.insert(admin, 99)  # everything has been done once
    meter, began_s = ProcessMeter(launch.pid), time.monotonic()
    meter.start()
    runs = succeeded = 0
    while time.monotonic() - began_s < arguments.seconds:
        succeeded += client.insert(admin, 100 + runs)
        runs += 1
        print(f"  {runs} insertions, {succeeded} succeeded, {time.monotonic() - began_s:.0f} s", flush=True)
    elapsed_s = time.monotonic() - began_s
    processes = meter.stop(elapsed_s)
    client.spin_until(lambda: client.recorder.state == EpisodeStatus.IDLE, 10.0)
    recorder = processes["episode"]
    found = figures(folder, recorder["cpu_percent"], recorder["pss_mb"], elapsed_s)
    print_table(found, processes)
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"figures": [asdict(figure) for figure in found], "processes": processes}, indent=1)
    (arguments.output / "recording.json").write_text(text)
    missed = [figure.name for figure in found if not figure.holds]
    print("every bound holds" if not missed else f"missed: {', '.join(missed)}")
    return 1 if missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="measured time, 30 to 3600 (default 600)")
    parser.add_argument("--policy", default="visual_servo", help="as of inference.launch.py (default visual_servo)")
    parser.add_argument("--host", default="127.0.0.52", help="loopback address of the simulated devices")
    parser.add_argument("--output", type=Path, default=ROOT / "bench", help="folder of recording.json")
    arguments = parser.parse_args()
    if not 30 <= arguments.seconds <= 3600:
        parser.error(f"--seconds: expected 30 to 3600, got {arguments.seconds:g}")
    os.environ.setdefault("ROS_DOMAIN_ID", "79")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    arguments.output.mkdir(parents=True, exist_ok=True)
    log = arguments.output / "recording.log"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bags"
        command = ["ros2", "launch", "insertion_vla", "inference.launch.py", f"host:={arguments.host}"]
        command += ["status:=false", f"policy:={arguments.policy}", f"record:={folder}"]
        print(f"starting the graph (log: {log})", flush=True)
        launch = subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True)
        rclpy.init()
        try:
            return measure(arguments, Client(), launch, folder)
        except RuntimeError as error:
            print(f"bench failed: {error}", file=sys.stderr)
            return 1
        finally:
            if launch.poll() is None:
                launch.send_signal(signal.SIGINT)
            launch.wait(30)
            rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
