"""The action expert: the contract's observation at 10 Hz -> action_expert/chunk.

subscribes: the topics of the contract (joint_states, tool_pose, force/samples, vlm/features), task/state
publishes:  action_expert/chunk at 10 Hz while task/state permits motion for a goal
parameters: see Parameters
on failure: a missing or too old stream, withdrawn features or features for another instruction: no chunk, the reason on
            /diagnostics, and the arm holds by itself. Ticks that come due while the expert computes are skipped, never
            caught up, and counted. An exception of the expert deactivates this node with the cause. A checkpoint that
            is damaged or was trained on another contract is refused when the node configures.
"""

import sys
import threading
import time
import uuid
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from insertion_vla_core.chunk import DT_S, HORIZON, Chunk, ChunkRejected, check_chunk
from insertion_vla_core.contract import Contract, Stream, load_contract
from insertion_vla_core.observation import Missing, Observation, ObservationBuilder
from insertion_vla_core.realtime import PLAN_PRIORITY, take_realtime_priority
from insertion_vla_core.stream_rows import check_readable, rows_of
from insertion_vla_policy.protocol import Expert
from insertion_vla_policy.registry import load_expert
from insertion_vla_policy.run_options import RunOptions
from pydantic import Field

from insertion_vla import qos
from insertion_vla.deadlines import ticks
from insertion_vla.feature_messages import features_from_message
from insertion_vla.listener import Heard, Listener
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.messages import chunk_to_message, pose_from_row
from insertion_vla.parameters import ParameterModel
from insertion_vla.paths import config_file
from insertion_vla_interfaces.msg import ActionChunk, TaskState, VLFeatures

SWITCH_INTERVAL_S = 0.001  # callbacks give way to the tick this soon
TASK_AGE_S = 0.25  # as the gate: an older permission is none
FEATURES, TOOL, FORCE = "features", "tool_pose", "force"


class Parameters(ParameterModel):
    """Parameters of the action expert."""

    policy: str = Field(default="diffusion", description="policy whose expert runs here: a name or a folder")
    calibration_file: str = Field(default="calibration/sim.yaml", description="camera calibration, see config_file")
    contract_file: str = Field(default="contracts/insertion.yaml", description="contract of the observations")
    run: RunOptions = RunOptions()


class ActionExpert(ManagedNode):
    """Receives in the executor and, what is fast, in a listener; acts in a thread with its own deadlines."""

    NAME = "action_expert"
    Parameters = Parameters

    def setup(self) -> None:
        """Loads contract and expert."""
        self._contract = load_contract(config_file(self.params.contract_file))
        check_served(self._contract)
        self._expert = self.make_expert()
        self._publisher = self.create_publisher(ActionChunk, self._contract.action.topic, qos.CHUNK)

    def make_expert(self) -> Expert:
        """The expert that the parameters name."""
        calibration = config_file(self.params.calibration_file)
        return load_expert(self.params.policy, calibration, self._contract, self.params.run)

    def start(self) -> None:
        """Subscribes to the contract's streams and starts the ticks; a new session begins."""
        self._lock = threading.Lock()
        self._builder = ObservationBuilder(self._contract)
        self._session = uuid.uuid4().hex
        self._sequence = 0
        self._goal_id = ""  # the goal that the expert was reset for
        self._task: TaskState | None = None
        self._task_s = 0.0
        self._withdrawn = ""
        self._instruction_seen = ""  # of the newest features
        self._reason = "waiting for a goal"
        self._broken: dict[str, str] = {}  # what is wrong with a stream's newest message
        self._crash = ""
        self._missed = 0
        self._inference_s = 0.0
        self._timing: Mapping[str, float] = {}
        depths = {TOOL: qos.ROBOT, "joints": qos.ROBOT, FORCE: qos.SAMPLES}
        rows = []
        for topic, streams in _by_topic(self._contract).items():
            if streams[0].payload:
                self.create_subscription(VLFeatures, topic, self._on_features, qos.FEATURES)
                continue
            profile = depths.get(streams[0].name, qos.SAMPLES)
            kind = _message_class(streams[0].type)
            rows.append(Heard(kind, topic, lambda m, _, s=streams: self._on_rows(s, m), profile))
        self.create_subscription(TaskState, "task/state", self._on_task, qos.STATE)
        self._crashed = self.create_guard_condition(self._on_crash)
        self._stop = threading.Event()
        self._listener = Listener(self, "rows", rows, partial(self._fail, "a message of the contract's streams"))
        self._thread = threading.Thread(target=self._tick_loop, name="ticks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the ticks."""
        stop = getattr(self, "_stop", None)
        if stop is None or stop.is_set():
            return
        stop.set()
        self._thread.join()
        self._listener.close()
        self.destroy_guard_condition(self._crashed)

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        """Reports why no chunk is sent while a goal wants some."""
        wanted = self._permitted() is not None
        if self._reason and wanted:
            stat.summary(DiagnosticStatus.ERROR, f"no chunk: {self._reason}")
        else:
            stat.summary(DiagnosticStatus.OK, self._reason or f"acting, sequence {self._sequence}")
        for name, problem in self._broken.items():
            stat.add(name, problem)
        stat.add("chunks", str(self._sequence))
        stat.add("missed ticks", str(self._missed))
        stat.add("inference time [s]", f"{self._inference_s:.4f}")
        for part, seconds in self._timing.items():
            stat.add(f"expert, {part} [s]", f"{seconds:.4f}")

    # Thread of the listener.

    def _on_rows(self, streams: list[Stream], message: Any) -> None:
        receive_ns = self.get_clock().now().nanoseconds
        for stream in streams:
            try:
                stamps, rows = rows_of(stream, message)
            except ValueError as error:
                self._broken[stream.name] = str(error)
                continue
            self._broken.pop(stream.name, None)
            with self._lock:
                self._builder.extend(stream.name, stamps, receive_ns, rows)

    # Executor thread.

    def _on_features(self, message: VLFeatures) -> None:
        receive_ns = self.get_clock().now().nanoseconds
        try:
            features = features_from_message(message)
        except ValueError as error:
            self._withdrawn = str(error)
            return
        with self._lock:
            if features is None:
                self._withdrawn = "the vlm node has withdrawn its features: see its diagnostics"
                return
            self._withdrawn = ""
            self._instruction_seen = features.instruction
            self._builder.push(FEATURES, features.stamp_ns, receive_ns, features)
        if self._permitted() is not None:
            self._look(features.instruction)

    def _look(self, instruction: str) -> None:
        try:
            self._expert.look(self._observe(instruction))
        except Missing:
            return  # the next tick says what is missing
        except Exception as error:
            self._fail(f"expert '{self._expert.policy_id}'", error)

    def _on_task(self, message: TaskState) -> None:
        self._task, self._task_s = message, time.monotonic()

    def _on_crash(self) -> None:
        self.trigger_deactivate()
        self._refuse(self._crash)

    def _fail(self, culprit: str, error: BaseException) -> None:
        """Deactivates the node with the cause; from any thread."""
        self._crash = f"{culprit} raised {type(error).__name__}: {error}"
        self._crashed.trigger()

    # Thread of the ticks.

    def _tick_loop(self) -> None:
        for deadlines in ticks(DT_S, self._stop):
            self._missed = deadlines.missed
            try:
                self._tick()
            except Exception as error:
                self._fail(f"expert '{self._expert.policy_id}'", error)
                return

    def _tick(self) -> None:
        task = self._permitted()
        if task is None:
            self._reason = "waiting for a goal"
            return
        if task.goal_id != self._goal_id:
            self._expert.reset(task.goal_id, task.instruction)
            self._goal_id = task.goal_id
        started_s = time.monotonic()
        try:
            observation = self._observe(task.instruction)
            action = self._expert.act(observation)
        except Missing as missing:
            self._reason = str(missing)
            return
        self._timing = action.timing
        self._inference_s = time.monotonic() - started_s
        chunk = Chunk(
            session=self._session,
            sequence=self._sequence,
            goal=task.goal_id,
            stamp_ns=observation.stamp_ns,
            # The pose that the expert planned from, so that its targets are exact in space.
            anchor=pose_from_row(observation.streams[TOOL].values[-1]),
            dt_s=DT_S,
            deltas=action.deltas,
            aux=action.aux,
            policy_id=self._expert.policy_id,
            status=action.status,
            features_stamp_ns=observation.newest_ns.get(FEATURES, 0),
            force_stamp_ns=observation.newest_ns.get(FORCE, 0),
            inference_s=self._inference_s,
        )
        try:
            check_chunk(chunk)
        except ChunkRejected as error:
            self._reason = f"the expert gave a wrong action: {error}"
            return
        # The permission may have gone while the expert computed.
        now = self._permitted()
        if now is not None and now.goal_id == chunk.goal and not self._stop.is_set():
            self._publisher.publish(chunk_to_message(chunk, self._contract.action.frame))
            self._sequence += 1
            self._reason = ""

    def _permitted(self) -> TaskState | None:
        task = self._task
        if task is None or not task.permit or not task.goal_id or time.monotonic() - self._task_s > TASK_AGE_S:
            return None
        return task

    def _observe(self, instruction: str) -> Observation:
        now_ns = self.get_clock().now().nanoseconds
        with self._lock:
            if self._withdrawn:
                raise Missing(FEATURES, None, 0.0, self._withdrawn)
            observation = self._builder.build(now_ns)
            if FEATURES in observation.streams and self._instruction_seen != instruction:
                raise Missing(FEATURES, None, 0.0, f"they are for '{self._instruction_seen}', not '{instruction}'")
            return observation


def check_served(contract: Contract) -> None:
    """Refuses a contract that this node cannot serve, naming what differs."""
    names = [stream.name for stream in contract.observations]
    if any(stream.payload and stream.name != FEATURES for stream in contract.observations):
        raise ValueError(
            f"contract '{contract.name}': expected '{FEATURES}' as its only payload, got {', '.join(names)}"
        )
    if TOOL not in names:
        raise ValueError(f"contract '{contract.name}': expected the observation {TOOL}, got {', '.join(names)}")
    for stream in contract.observations:
        check_readable(stream)
    action = contract.action
    if (action.horizon, action.dt_s, len(action.channels)) != (HORIZON, DT_S, 7):
        raise ValueError(
            f"contract '{contract.name}': expected {HORIZON} x 7 actions {DT_S} s apart, got {action.horizon} x "
            f"{len(action.channels)} actions {action.dt_s} s apart"
        )


def _by_topic(contract: Contract) -> dict[str, list[Stream]]:
    topics: dict[str, list[Stream]] = {}
    for stream in contract.observations:
        topics.setdefault(stream.topic, []).append(stream)
    return topics


def _message_class(kind: str) -> Any:
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)


def main() -> int:
    """Runs the node."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    take_realtime_priority(PLAN_PRIORITY)
    return run(ActionExpert)


if __name__ == "__main__":
    sys.exit(main())
