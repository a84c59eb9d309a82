"""The recorder: one bag per episode, with everything that training needs to know of it.

subscribes: the topics of the contract and those beside it (see record_topics), serialized; task/state, arm/state
publishes:  episode/status (EpisodeStatus) at 2 Hz and on every change
services:   episode/start, episode/stop (discard), episode/label
calls:      the parameter services of every node of the graph
parameters: see Parameters
on failure: whatever happens here, the rest of the graph runs on. Below the free-space floor, or when the disk fails,
            the bag is closed, the status says why, and nothing is recorded until it is put right. After a crash or
            SIGKILL, `ros2 run insertion_vla_training recover` saves the bag.

It brings itself up and is none of the nodes that the lifecycle manager watches: an insertion does not depend on it.
"""

import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from insertion_vla_core.calibration import load_calibration
from insertion_vla_core.contract import parse_contract
from insertion_vla_core.episode_metadata import EpisodeMetadata
from insertion_vla_core.kinematics import load_arm
from insertion_vla_core.revision import git_revision
from pydantic import Field
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy
from rclpy.task import Future
from rosidl_runtime_py.utilities import get_message

from insertion_vla import qos
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.parameters import RUNTIME, ParameterModel
from insertion_vla.paths import config_file
from insertion_vla.record_desk import Answer, Desk, Settings
from insertion_vla.record_episode import Episode
from insertion_vla.record_follow import Watched
from insertion_vla.record_leftovers import list_leftovers
from insertion_vla.record_parameters import GraphParameters
from insertion_vla.record_reception import Reception, fitting
from insertion_vla.record_topics import Topics, contract_types, default_topics
from insertion_vla_interfaces.msg import EpisodeStatus
from insertion_vla_interfaces.srv import LabelEpisode, StartEpisode, StopEpisode

TICK_S = 0.5
TASK, ARM = "task/state", "arm/state"
SAMPLES = "insertion_vla_interfaces/msg/ForceSamples"


class Parameters(ParameterModel):
    """Parameters of the recorder."""

    folder: str = Field(default="recordings", min_length=1, description="where bags go; made if it is not there")
    auto: bool = Field(default=False, description="an episode begins and ends with every run_insertion goal")
    autostart: bool = Field(default=True, description="configure and activate when the process starts")
    contract_file: str = Field(default="contracts/insertion.yaml", description="contract that rates are judged by")
    calibration_file: str = Field(default="calibration/sim.yaml", description="cameras and needle, kept in each bag")
    arm: str = Field(default="meca500", min_length=1, description="kinematics as of the arm node, kept in each bag")
    topics: list[str] = Field(default=[], description="what is recorded; empty: the contract's topics and those beside")
    extra_topics: list[str] = Field(default=[], description="recorded too")
    min_free_gb: float = Field(
        default=1.0, ge=0.05, le=10_000, description="[GB] floor of free space", json_schema_extra=RUNTIME
    )
    cache_mb: float = Field(default=100.0, ge=1, le=10_000, description="[MB] of messages that may wait for the disk")
    black_box_s: float = Field(default=20.0, ge=0, le=300, description="[s] kept in memory for faults; 0: no black box")
    black_box_mb: float = Field(default=200.0, ge=1, le=10_000, description="[MB] of memory that it may take")


class Recorder(ManagedNode):
    """Wires the desk, where the recording is done, to the graph."""

    NAME = "episode"
    Parameters = Parameters
    _desk: Desk | None = None
    _reception: Reception | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.get_parameter("autostart").value:
            self.trigger_configure()
            if self.phase == "inactive":
                self.trigger_activate()

    def setup(self) -> None:
        """Reads what every bag carries and prepares the folder."""
        p = self.params
        contract_text = config_file(p.contract_file).read_text(encoding="utf-8")
        self._contract = parse_contract(contract_text, p.contract_file)
        calibration = config_file(p.calibration_file)
        load_calibration(calibration)  # refuses a wrong one
        self._template = EpisodeMetadata(
            name="template",
            source="recorder",
            contract=contract_text,
            namespace=self.get_namespace(),
            git_revision=git_revision(Path(__file__)),
            robot_calibration=_arm_text(p.arm),
            camera_calibration=calibration.read_text(encoding="utf-8"),
        )
        self._folder = Path(p.folder).expanduser().absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        for sentence in list_leftovers(self._folder):
            self.get_logger().warning(sentence)
        self._status = self.create_publisher(EpisodeStatus, "episode/status", qos.STATE)
        group = ReentrantCallbackGroup()  # an answer may take a while
        self._graph_parameters = GraphParameters(self, group)
        self.create_service(StartEpisode, "episode/start", self._on_start, callback_group=group)
        self.create_service(StopEpisode, "episode/stop", self._on_stop, callback_group=group)
        self.create_service(LabelEpisode, "episode/label", self._on_label, callback_group=group)

    def start(self) -> None:
        """Subscribes and remembers; records when told to."""
        p = self.params
        self._wanted = {
            self.resolve_topic_name(topic): topic
            for topic in [*(p.topics or default_topics(self._contract)), *p.extra_topics]
        }
        watched = Watched(self.resolve_topic_name(TASK), self.resolve_topic_name(ARM))
        self._unheard = {watched.task: TASK, watched.arm: ARM} | self._wanted
        self._topics, self._problems = Topics(), dict[str, str]()
        settings = Settings(self._folder, p.auto, p.min_free_gb, p.cache_mb, p.black_box_s, p.black_box_mb)
        self._desk = Desk(
            settings,
            self._contract,
            watched,
            self._topics,
            self._template,
            lambda: dict(self._graph_parameters.values),
            self.get_logger(),
            self._publish,
        )
        self._reception = Reception(self, self._desk.take)
        self._asked_for: Episode | None = None  # the parameters of all nodes
        self._graph_parameters.refresh()
        self.create_timer(TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._tick()

    def stop(self) -> None:
        """Closes the bag of a running episode."""
        if self._reception is not None:
            self._reception.close()
            self._reception = None
        if self._desk is not None:
            self._graph_parameters.close()
            self._desk.order(self._desk.close).result()
            self._desk.worker.shutdown()
            self._desk = None

    def parameters_changed(self) -> None:
        """Takes over a new floor of free space."""
        if self._desk is not None:
            self._desk.min_free_gb = self.params.min_free_gb

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        """Reports what keeps it from recording, and streams that miss their rate."""
        status = self._desk.status()
        trouble = self._reception.crash or (status.reason if status.state == EpisodeStatus.REFUSED else "")
        if trouble:
            stat.summary(DiagnosticStatus.ERROR, trouble)
        elif status.bad or self._problems:
            stat.summary(DiagnosticStatus.WARN, "; ".join([*self._problems.values(), status.reason]))
        elif status.state == EpisodeStatus.RECORDING:
            stat.summary(DiagnosticStatus.OK, f"recording {status.episode}")
        stat.add("topics", str(len(self._topics.types)))
        stat.add("messages", str(status.messages))
        stat.add("free space [GB]", f"{status.free_space_gb:.1f}")

    # Executor thread.

    async def _on_start(self, request: StartEpisode.Request, response: StartEpisode.Response) -> Any:
        answer = await self._ask(lambda desk: desk.start(request.instruction, request.notes))
        response.success, response.message, response.path = answer
        return response

    async def _on_stop(self, request: StopEpisode.Request, response: StopEpisode.Response) -> Any:
        response.success, response.message, response.path = await self._ask(lambda desk: desk.stop(request.discard))
        return response

    async def _on_label(self, request: LabelEpisode.Request, response: LabelEpisode.Response) -> Any:
        answer = await self._ask(lambda desk: desk.label(request.outcome, request.instruction, request.notes))
        response.success, response.message, _ = answer
        return response

    def _ask(self, work: Callable[[Desk], Answer]) -> Future:
        done = Future(executor=self.executor)
        if self.phase != "active":
            done.set_result((False, f"the recorder is {self.phase}: {self.problem or 'activate it first'}", ""))
            return done

        def answered(order: Any) -> None:
            error = order.exception()
            answer = order.result() if error is None else (False, f"{type(error).__name__}: {error}", "")
            # Set from a task, so that the executor wakes up and sends the answer.
            self.executor.create_task(done.set_result, answer)

        desk = self._desk
        desk.order(lambda: work(desk)).add_done_callback(answered)
        return done

    def _tick(self) -> None:
        self._subscribe()
        self._reception.look()
        episode = self._desk.episode
        if episode is not None and episode is not self._asked_for:
            self._asked_for = episode
            self._graph_parameters.refresh()  # they may have been changed since the last episode
        else:
            self._graph_parameters.poll()
        self._desk.order(self._desk.tick)  # which publishes the status

    def _subscribe(self) -> None:
        """Subscribe to topics that have appeared, with what their publishers offer."""
        known = dict(self.get_topic_names_and_types()) if self._unheard else {}
        for topic, name in list(self._unheard.items()):
            publishers = self.get_publishers_info_by_topic(topic) if topic in known else []
            if not publishers:
                continue
            kind = publishers[0].topic_type
            expected = contract_types(self._contract).get(name, kind)
            if kind != expected:
                self._problem(
                    topic, f"{topic} is {kind}, the contract says {expected}: correct its node or the contract"
                )
                continue
            try:
                message_type = get_message(kind)
            except (ImportError, AttributeError, ValueError) as error:
                self._problem(topic, f"{topic} is not recorded: its type {kind} is not installed here ({error})")
                continue
            del self._unheard[topic]
            self._problems.pop(topic, None)
            profile = fitting([info.qos_profile for info in publishers])
            self._topics.types[topic] = (kind, str(publishers[0].topic_type_hash))
            self._topics.names[topic] = name
            if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
                self._topics.latched.add(topic)
            if kind == SAMPLES:
                self._topics.blocks.add(topic)
            if topic in self._wanted:
                self._topics.recorded.add(topic)
            self._reception.add(topic, message_type, profile)

    def _problem(self, topic: str, sentence: str) -> None:
        if self._problems.get(topic) != sentence:
            self._problems[topic] = sentence
            self.get_logger().error(sentence)

    def _publish(self) -> None:
        """From any thread."""
        desk = self._desk
        if desk is not None:
            message = desk.status()
            message.header.stamp = self.get_clock().now().to_msg()
            self._status.publish(message)


def _arm_text(arm: str) -> str:
    """The YAML with the kinematics of a shipped arm or of a file."""
    load_arm(arm)  # refuses what is none
    if Path(arm).suffix in (".yaml", ".yml"):
        return Path(arm).read_text(encoding="utf-8")
    return (resources.files("insertion_vla_core") / "robots" / f"{arm}.yaml").read_text(encoding="utf-8")


def main() -> int:
    """Runs the node."""
    return run(Recorder)


if __name__ == "__main__":
    sys.exit(main())
