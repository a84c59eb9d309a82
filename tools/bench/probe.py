"""A ROS node that listens to the running graph and keeps the times that the benchmark reports."""

import struct
import sys
import time
from collections import defaultdict

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from insertion_vla.listener import Heard, Listener
from insertion_vla_core.realtime import take_realtime_priority
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger

from insertion_vla_interfaces.action import RunInsertion
from insertion_vla_interfaces.msg import ActionChunk, ForceSamples, SystemState, VLFeatures

VIEWS = ("front", "side", "hand")
CDR_HEADER_BYTES = 4
STAMP = struct.Struct("<iI")  # the first field of a stamped message: header.stamp


def seconds(stamp) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


class Probe(Node):
    """Collects while `collecting`; `samples` maps a name to a list of numbers, times are [s] on the wall clock."""

    def __init__(self) -> None:
        super().__init__("bench_probe")
        self.collecting = False
        self.system_state = SystemState.DOWN
        self.system_reason = ""
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.chunk_times: dict[str, list[float]] = defaultdict(list)
        self.receive_buffer = ""  # what the force sensor says of its socket
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(SystemState, "system/state", self._on_system, latched)
        # Raw, and without an executor: 650 messages a second would cost a third of a core, which the graph would miss.
        wrench = Heard(WrenchStamped, "force/wrench", self._on_wrench, QoSProfile(depth=1000), raw=True)
        self._listener = Listener(self, "force", [wrench], lambda error: print(f"bench: {error}", file=sys.stderr))
        self.create_subscription(ForceSamples, "force/samples", self._on_block, QoSProfile(depth=50))
        self.create_subscription(ActionChunk, "action_expert/chunk", self._on_chunk, QoSProfile(depth=20))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=20))
        self.create_subscription(VLFeatures, "vlm/features", self._on_features, QoSProfile(depth=5))
        for view in VIEWS:
            self.create_subscription(
                CompressedImage,
                f"{view}/image_raw/compressed",
                lambda m, v=view: self._on_image(v, m),
                QoSProfile(depth=5),
            )
        self.goals = ActionClient(self, RunInsertion, "run_insertion")
        self.stop = self.create_client(Trigger, "arm/stop")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def close(self) -> None:
        """Leaves the graph."""
        self._listener.close()
        self._executor.shutdown()
        self.destroy_node()
        rclpy.try_shutdown()

    def spin_until(self, done, timeout_s: float) -> bool:
        """Handles messages until done() or the timeout; True if done."""
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.1)
        return True

    def wait(self, future, timeout_s: float, what: str):
        """The result of a future; RuntimeError naming what did not answer."""
        if not self.spin_until(future.done, timeout_s):
            raise RuntimeError(f"expected {what} to answer within {timeout_s:.0f} s; it did not")
        return future.result()

    def _on_system(self, message: SystemState) -> None:
        self.system_state, self.system_reason = message.state, message.reason

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for pair in status.values:
                if pair.key.startswith("receive buffer"):
                    self.receive_buffer = pair.value

    def _on_wrench(self, serialized: bytes, info: dict) -> None:
        if self.collecting:
            now = time.time()
            sec, nanosec = STAMP.unpack_from(serialized, CDR_HEADER_BYTES)
            self.samples["force_stamp"].append(sec + nanosec * 1e-9)
            self.samples["force_received"].append(now)

    def _on_block(self, message: ForceSamples) -> None:
        if self.collecting:
            self.samples["force_lost"].append(message.lost)

    def _on_chunk(self, message: ActionChunk, info: dict) -> None:
        if self.collecting:
            # When it arrived, not when this process, which listens to everything, got to it.
            now, stamp = info["received_timestamp"] * 1e-9, seconds(message.header.stamp)
            self.chunk_times[message.goal_id].append(now)
            self.samples["observation_to_command"].append(now - stamp)
            self.samples["inference"].append(message.inference_time)
            self.samples["features_age"].append(stamp - seconds(message.features_stamp))

    def _on_features(self, message: VLFeatures) -> None:
        if self.collecting and message.view_stamps:  # an empty set withdraws the features
            now = time.time()
            self.samples["features_received"].append(now)
            self.samples["image_to_features"].append(now - max(map(seconds, message.view_stamps)))

    def _on_image(self, view: str, message: CompressedImage) -> None:
        if self.collecting:
            self.samples[f"image_{view}"].append(seconds(message.header.stamp))


def chunk_intervals(times: dict[str, list[float]]) -> np.ndarray:
    """Intervals [s] between consecutive chunks of the same goal."""
    parts = [np.diff(values) for values in times.values() if len(values) > 1]
    return np.concatenate(parts) if parts else np.zeros(0)


def start() -> Probe:
    """Joins the graph, with the priority that the arm listens with."""
    take_realtime_priority()
    rclpy.init()
    return Probe()
