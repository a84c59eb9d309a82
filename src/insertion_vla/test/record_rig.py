"""A small graph to record: every topic of a contract with modest rates, published from a thread of the test."""

import array
import threading
import time
from pathlib import Path
from typing import Any

from ros_graph import Graph, Inbox  # isort: skip  (sets the environment before rclpy is imported)
import rosbag2_py
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from insertion_vla.messages import time_from_ns
from insertion_vla.nodes.recorder import Recorder
from insertion_vla.paths import config_file
from insertion_vla_core.contract import parse_contract
from insertion_vla_core.episode_metadata import EpisodeMetadata, from_custom_data
from rclpy.serialization import deserialize_message
from rosidl_runtime_py.utilities import get_message
from sensor_msgs.msg import CompressedImage, JointState

from insertion_vla import qos
from insertion_vla_interfaces.msg import (
    ActionChunk,
    ArmState,
    EpisodeStatus,
    ForceSamples,
    SystemState,
    TaskState,
    VLFeatures,
)
from insertion_vla_interfaces.srv import LabelEpisode, StartEpisode, StopEpisode

SENTENCE = "insert the needle into the green trocar"
STEP_S = 0.05
# The shipped contract at rates that a loaded machine and strict message fields can keep.
SLOWER = {"rate_hz: 100.0": "rate_hz: 20.0", "rate_hz: 650.0": "rate_hz: 100.0", "rate_hz: 65.0": "rate_hz: 10.0"}
AGES = {"max_age_s: 0.05": "max_age_s: 1.0", "max_age_s: 0.06": "max_age_s: 1.0", "dt_s: 0.1": "dt_s: 0.2"}


def contract_text() -> str:
    text = config_file("contracts/insertion.yaml").read_text()
    for old, new in {**SLOWER, **AGES}.items():
        assert old in text
        text = text.replace(old, new)
    return text


class Lab:
    """Publishes like the nodes; topics in `silent` are not published. `goal` is the id of the running goal."""

    def __init__(self, graph: Graph) -> None:
        node = graph.node
        self.graph = graph
        self.silent: set[str] = set()
        self.goal, self.phase, self.arm = "", TaskState.IDLE, ArmState.HOLD
        self.sent: dict[str, int] = {}
        self._blocks = 0
        self._publishers: dict[str, Any] = {}
        kinds = {source.topic: get_message(source.type) for source in _sources()}
        kinds |= {"task/state": TaskState, "arm/state": ArmState}
        for topic, kind in kinds.items():
            profile = qos.FEATURES if kind is VLFeatures else qos.reliable(10)
            self._publishers[topic] = node.create_publisher(kind, topic, profile)
        self.system = node.create_publisher(SystemState, "system/state", qos.SYSTEM)
        self.system.publish(SystemState(reason="latched long ago"))
        self.status = Inbox(graph, EpisodeStatus, "episode/status", qos.STATE)
        self.diagnostics = Inbox(graph, DiagnosticArray, "/diagnostics", qos.reliable(100))
        self._clients = {
            kind: node.create_client(kind, f"episode/{name}")
            for kind, name in ((StartEpisode, "start"), (StopEpisode, "stop"), (LabelEpisode, "label"))
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish_all, daemon=True)
        self._thread.start()

    def record(self, tmp_path: Path, **parameters: Any) -> Recorder:
        """The recorder in this graph, active and subscribed to everything."""
        contract = tmp_path / "contract.yaml"
        contract.write_text(contract_text())
        defaults = {"folder": str(tmp_path / "bags"), "contract_file": str(contract), "min_free_gb": 0.05}
        recorder = self.graph.add(Recorder, **{**defaults, "diagnostic_updater.period": 0.1, **parameters})
        assert recorder.phase == "active", recorder.problem
        self.await_topics(recorder)
        return recorder

    def await_topics(self, recorder: Recorder) -> None:
        """Every topic that is published has been heard of, and its messages come."""
        expected = len(self._publishers) - len(self.silent)
        deadline_s = time.monotonic() + 20.0
        while len(recorder._topics.types) < expected or (not self.silent and recorder._desk._awaited):
            assert time.monotonic() < deadline_s, sorted(recorder._topics.types)
            self.status.wait_count(len(self.status.messages) + 1)

    def start(self, **fields: Any) -> StartEpisode.Response:
        return self.graph.ask(self._clients[StartEpisode], StartEpisode.Request(**fields))

    def stop(self, **fields: Any) -> StopEpisode.Response:
        return self.graph.ask(self._clients[StopEpisode], StopEpisode.Request(**fields))

    def label(self, **fields: Any) -> LabelEpisode.Response:
        return self.graph.ask(self._clients[LabelEpisode], LabelEpisode.Request(**fields))

    def recorded(self, messages: int) -> EpisodeStatus:
        """Waits until the running episode has at least so many messages."""
        start = len(self.status.messages)
        return self.status.wait(lambda m: m.state == EpisodeStatus.RECORDING and m.messages >= messages, start=start)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _publish_all(self) -> None:
        step, due_s = 0, time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s += STEP_S
            for topic, every in EVERY.items():
                if step % every == 0 and topic not in self.silent:
                    self._publishers[topic].publish(self._message(topic))
                    self.sent[topic] = self.sent.get(topic, 0) + 1
            step += 1

    def _message(self, topic: str) -> Any:
        stamp = time_from_ns(time.time_ns())
        if topic == "task/state":
            message: Any = TaskState(goal_id=self.goal, phase=self.phase, instruction=SENTENCE if self.goal else "")
        elif topic == "arm/state":
            message = ArmState(state=self.arm, reason="too much force" if self.arm == ArmState.FAULT else "")
        elif topic == "force/samples":
            self._blocks += 1
            message = ForceSamples(received=10 * self._blocks, stamps=array.array("q", [time.time_ns()] * 10))
            message.force = array.array("f", [0.1] * 10)
        elif topic == "joint_states":
            message = JointState(name=[f"joint_{k}" for k in range(1, 7)], position=[0.1] * 6)
        elif topic == "action_expert/chunk":
            message = ActionChunk(policy_id="test:abc", goal_id=self.goal)
        elif topic == "vlm/features":
            message = VLFeatures(instruction=SENTENCE)
        else:
            message = PoseStamped() if topic == "tool_pose" else CompressedImage(format="jpeg", data=bytes(1000))
        message.header.stamp = stamp
        return message


def _sources() -> list[Any]:
    contract = parse_contract(contract_text(), "the test")
    return [*contract.observations, *contract.images, contract.action]


EVERY = {  # steps between two messages
    "joint_states": 1,
    "tool_pose": 1,
    "force/samples": 2,
    "vlm/features": 7,
    "action_expert/chunk": 4,
    "front/image_raw/compressed": 4,
    "side/image_raw/compressed": 4,
    "hand/image_raw/compressed": 4,
    "task/state": 1,
    "arm/state": 1,
}


def bag(path: str | Path) -> tuple[EpisodeMetadata, dict[str, list[tuple[int, Any]]]]:
    """What a bag says of itself, and (receive time, message) by topic, read through the API of rosbag2."""
    reader = rosbag2_py.SequentialReader()
    reader.open(rosbag2_py.StorageOptions(uri=str(path), storage_id="mcap"), rosbag2_py.ConverterOptions("cdr", "cdr"))
    types = {topic.name: get_message(topic.type) for topic in reader.get_all_topics_and_types()}
    messages: dict[str, list[tuple[int, Any]]] = {name: [] for name in types}
    while reader.has_next():
        name, data, receive_ns = reader.read_next()
        messages[name].append((receive_ns, deserialize_message(data, types[name])))
    metadata = rosbag2_py.MetadataIo().read_metadata(str(path))
    assert metadata.message_count == sum(map(len, messages.values()))
    return from_custom_data(metadata.custom_data, str(path)), messages
