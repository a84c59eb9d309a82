"""A lock-step episode to a bag: hears what the graph would publish and writes it with the delays of a real graph."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
from insertion_vla_core.calibration import Calibration
from insertion_vla_core.chunk import Chunk
from insertion_vla_core.contract import Contract
from insertion_vla_core.decision import Decision, GateStatus
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import load_arm
from insertion_vla_core.rate_audit import RateAudit, Verdict
from insertion_vla_policy.protocol import Features
from insertion_vla_sim.lockstep_streams import BLOCK, START_NS, Block

from insertion_vla_training.bags import BagWriter
from insertion_vla_training.collecting import messages
from insertion_vla_training.collecting.cameras import JpegCameras
from insertion_vla_training.collecting.task import TaskPhases

STATE_EVERY = 5  # of 100 Hz
# Delays from the stamp to the recorder as (least, mean of the rest) [s], measured on the live graph.
ROBOT_S, FORCE_S, STATE_S, CHUNK_S = (0.0004, 0.0003), (0.0006, 0.0004), (0.0004, 0.0002), (0.0008, 0.0004)
IMAGE_S, INFO_S, SAMPLE_S = (0.018, 0.004), (0.0002, 0.0001), (0.00012, 0.00006)


@dataclass(frozen=True)
class Identity:
    """Names of session and goal, 32 hexadecimal digits as in the graph, and the instruction."""

    session: str
    goal: str
    instruction: str


class BagRecorder:
    """The listener of one lock-step episode."""

    def __init__(
        self,
        writer: BagWriter,
        contract: Contract,
        calibration: Calibration,
        cameras: JpegCameras,
        identity: Identity,
        offset_ns: int,
        seed: int,
    ) -> None:
        """Describe every topic of the contract.

        Args:
            writer: of the bag.
            contract, calibration: of the graph.
            cameras: what takes the pictures.
            identity: of the episode.
            offset_ns: from the lock-step's stamps to those of the bag.
            seed: of the delays.
        """
        self._writer, self._cameras, self._contract = writer, cameras, contract
        self._identity = identity
        self._offset_ns, self._rng = offset_ns, np.random.default_rng([seed, 100])
        self._robot = messages.RobotMessages(load_arm("meca500").joint_names)
        self._force, self._states = messages.ForceMessages(), messages.StateMessages()
        self._chunks = messages.ChunkMessages(contract.action.frame)
        self._views = {view: messages.CameraMessages(view, calibration.cameras[view].view) for view in _views(contract)}
        self._task = TaskPhases()
        self._waiting: list[tuple[int, int, str, bytes]] = []
        self._newest_ns: dict[str, int] = {}
        self._count = self._blocks = self._cycles = 0
        self._state: Any = None
        self._coming: list[tuple[int, float, str]] = []
        topics = _topics(contract)
        for topic, kind in topics.items():
            writer.add_topic(f"/{topic}", kind, latched=kind == messages.FEATURES)
        self._audit = RateAudit(contract, START_NS + offset_ns, tuple(topics))

    # What the lock-step tells.

    def robot(self, stamp_ns: int, q: np.ndarray, dq: np.ndarray, tool: Pose) -> None:
        """joint_states and tool_pose."""
        stamp_ns += self._offset_ns
        self._task.robot(tool)
        self._put("joint_states", self._robot.joints(stamp_ns, q, dq), self._later(stamp_ns, ROBOT_S))
        self._put("tool_pose", self._robot.tool_pose(stamp_ns, tool), self._later(stamp_ns, ROBOT_S))

    def block(self, block: Block) -> None:
        """force/samples."""
        stamps = block.stamps_ns + self._offset_ns
        self._blocks += 1
        if np.isfinite(block.force_n[-1]):
            self._task.tared()
        least, rest = SAMPLE_S
        receive = stamps + ((least + self._rng.exponential(rest, BLOCK)) * messages.NS).astype(np.int64)
        np.maximum.accumulate(receive, out=receive)
        data, message = self._force.block(block, stamps, receive, BLOCK * self._blocks)
        received_ns = self._put("force/samples", data, self._later(int(receive[-1]), FORCE_S), audited=True)
        self._audit.add_block("force/samples", received_ns, message)

    def picture(self, view: str, stamp_ns: int, state: np.ndarray) -> None:
        """<view>/image_raw/compressed and <view>/camera_info."""
        stamp_ns += self._offset_ns
        jpeg = self._cameras.take(view, state)
        receive_ns = self._later(stamp_ns, IMAGE_S)
        self._put(f"{view}/image_raw/compressed", self._views[view].image(stamp_ns, jpeg), receive_ns)
        self._put(f"{view}/camera_info", self._views[view].info(stamp_ns), self._later(receive_ns, INFO_S))

    def features(self, features: Features, known_ns: int) -> None:
        """vlm/features."""
        data = messages.features_bytes(features, self._offset_ns)
        self._put("vlm/features", data, self._later(known_ns + self._offset_ns, STATE_S))

    def chunk(self, chunk: Chunk, known_ns: int) -> None:
        """action_expert/chunk."""
        data = self._chunks.chunk(chunk, self._identity.session, self._identity.goal, self._offset_ns)
        receive_ns = self._later(known_ns + self._offset_ns, CHUNK_S)
        self._coming.append((receive_ns, float(chunk.aux[0]), chunk.status))
        self._put(self._contract.action.topic, data, receive_ns, sequence=chunk.sequence)

    def cycle(self, now_ns: int, decision: Decision, status: GateStatus) -> None:
        """arm/state at 20 Hz and on every change, task/state at 20 Hz."""
        now_ns += self._offset_ns
        due, self._cycles = self._cycles % STATE_EVERY == 0, self._cycles + 1
        if due or decision.state is not self._state:
            data = self._states.arm(now_ns, decision, status, self._identity.session)
            self._put("arm/state", data, self._later(now_ns, STATE_S))
        self._state = decision.state
        while self._coming and self._coming[0][0] <= now_ns:
            self._task.chunk(*self._coming.pop(0)[1:])
        if due:
            self._say(now_ns, self._task.words(self._elapsed_s(now_ns)))
        self._write_until(now_ns)

    def end(self, now_ns: int, finished: bool, reason: str) -> Verdict:
        """The episode is over at `now_ns`: everything that is still on its way is written; the audit of its rates."""
        now_ns += self._offset_ns
        self._say(now_ns, self._task.end(finished, self._elapsed_s(now_ns), reason))
        end_ns = max(entry[0] for entry in self._waiting)
        self._write_until(end_ns + 1)
        return self._audit.verdict(end_ns)

    def _say(self, now_ns: int, words: Any) -> None:
        data = self._states.task(now_ns, words, self._identity.goal, self._identity.instruction)
        self._put("task/state", data, self._later(now_ns, STATE_S))

    def _elapsed_s(self, now_ns: int) -> float:
        return (now_ns - START_NS - self._offset_ns) / messages.NS

    def _later(self, time_ns: int, delay_s: tuple[float, float]) -> int:
        least, rest = delay_s
        return time_ns + int((least + self._rng.exponential(rest)) * messages.NS)

    def _put(self, topic: str, data: bytes, receive_ns: int, audited: bool = False, sequence: int | None = None) -> int:
        """A message on its way; one topic's messages do not overtake each other. Returns when it arrives."""
        receive_ns = max(receive_ns, self._newest_ns.get(topic, 0) + 1)
        self._newest_ns[topic] = receive_ns
        heapq.heappush(self._waiting, (receive_ns, self._count, topic, data))
        self._count += 1
        if not audited:
            self._audit.add(topic, receive_ns, sequence=sequence)
        return receive_ns

    def _write_until(self, now_ns: int) -> None:
        """Write what has arrived; whatever comes later arrives later."""
        while self._waiting and self._waiting[0][0] < now_ns:
            receive_ns, _, topic, data = heapq.heappop(self._waiting)
            self._writer.write(f"/{topic}", data, receive_ns)


def _views(contract: Contract) -> list[str]:
    return [image.topic.split("/")[0] for image in contract.images]


def _topics(contract: Contract) -> dict[str, str]:
    """Type by relative name of every topic that is recorded."""
    topics = {stream.topic: stream.type for stream in contract.observations}
    for image, view in zip(contract.images, _views(contract), strict=True):
        topics |= {image.topic: image.type, f"{view}/camera_info": messages.CAMERA_INFO}
    topics[contract.action.topic] = contract.action.type
    return topics | {"arm/state": messages.ARM, "task/state": messages.TASK}
