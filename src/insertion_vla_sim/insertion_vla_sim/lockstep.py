"""One seeded episode as fast as the machine allows: the world, core's observation, executor and gate, and a policy.

No ROS, no sockets, no threads, no clock but the simulated one: the same seed gives the same episode bit for bit. What
the graph does between sensors and motors is done here by the same code of core at the same rates, with delays that can
be set: samples of force at 650 Hz in blocks of ten, robot state and control at 100 Hz, images at 5 Hz, the views one
after the other, features at 2.6 Hz, chunks at 10 Hz. A `Listener` hears what the graph would publish.

    python -m insertion_vla_sim.lockstep --seeds 200 --processes 2
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from insertion_vla_core.chunk import DT_S, Chunk, ChunkRejected
from insertion_vla_core.contract import Contract
from insertion_vla_core.executor import Execution
from insertion_vla_core.gate import Gate, State
from insertion_vla_core.geometry import Pose, matrix_from_quaternion
from insertion_vla_core.kinematics import NoSolution, load_arm, twist_to_joint_rates
from insertion_vla_core.limits import Limits
from insertion_vla_core.observation import Missing

from insertion_vla_sim import scene
from insertion_vla_sim.lockstep_parts import LIKE_THE_GRAPH, Backbone, CameraImage, Listener, Policy, Timing
from insertion_vla_sim.lockstep_streams import SensorStreams, stamp_ns
from insertion_vla_sim.privileged import PrivilegedPolicy
from insertion_vla_sim.randomise import Randomisation
from insertion_vla_sim.render import Renderer
from insertion_vla_sim.truth import Truth
from insertion_vla_sim.world import World

CONTROL_HZ, CHUNK_HZ = 100.0, 1.0 / DT_S
FINISHED_AUX = 1.5
REST_S = 0.5  # this long after the policy says it is finished, the truth is taken
PICTURES_KEPT = 4  # per view: a backbone sees the newest one that has arrived
GOAL, SESSION = "episode", "lockstep"


@dataclass(frozen=True)
class Episode:
    """How an episode ended. `success` is the truth's verdict on an episode that the policy itself finished."""

    seed: int
    colour: str
    success: bool
    reason: str
    duration_s: float
    truth: Truth
    chunks: int
    rejected: int


def instruction_for(colour: str) -> str:
    """What an episode's policy is told."""
    return f"Insert the needle into the {colour} trocar"


class Due:
    """Picks the first sample of every period; `phase` shifts the periods by that share of one."""

    def __init__(self, rate_hz: float, phase: float = 0.0) -> None:
        self._samples, self._phase, self._count = scene.SAMPLE_RATE_HZ / rate_hz, phase, 0
        self._next = self._first(0)

    def now(self, sample: int) -> bool:
        """Whether this sample is one; samples are asked for in order."""
        if sample < self._next:
            return False
        self._count += 1
        self._next = self._first(self._count)
        return True

    def _first(self, period: int) -> int:
        return math.ceil((period + self._phase) * self._samples - 1e-6)


class Lockstep:
    """One episode. `run` plays it; `step` advances one sensor sample for callers that want to look in between."""

    def __init__(
        self,
        seed: int,
        colour: str | None = None,
        *,
        limits: Limits,
        contract: Contract,
        policy: Policy | None = None,
        backbone: Backbone | None = None,
        renderer: Renderer | None = None,
        randomisation: Randomisation = "train",
        timing: Timing = LIKE_THE_GRAPH,
        time_limit_s: float = 60.0,
        views: Sequence[str] = scene.VIEWS,
        listener: Listener | None = None,
        disturb: Callable[[Chunk], Chunk] | None = None,
        instruction: str | None = None,
        execution: Execution = "blend",
    ) -> None:
        """Set an episode up.

        Args:
            seed: of world and sensor noise.
            colour: of the target tube; the seed's own choice by default.
            limits, contract: as the graph's arm and action expert use them.
            policy: the scripted expert by default.
            backbone, renderer: both or none; without them the observation has no features.
            randomisation: "train" or "heldout".
            listener: hears what the graph would publish, for recordings and videos.
            disturb: gives the chunk that is followed instead of the policy's; the listener hears the policy's.
            instruction: what the policy is told; by default the sentence that names the target.
            execution: how a new chunk takes over from the one before.

        Raises:
            ValueError: a backbone without a renderer, or an unknown colour.
        """
        if (backbone is None) != (renderer is None):
            raise ValueError("expected a backbone together with a renderer, or neither")
        self.world = World(seed, randomisation)
        self.colour = colour or self.world.layout.target
        self.world.truth(self.colour)  # refuses an unknown colour
        self.instruction = instruction_for(self.colour) if instruction is None else instruction
        self._timing, self._time_limit_s, self._views = timing, time_limit_s, tuple(views)
        self._backbone, self._renderer, self._listener, self._disturb = backbone, renderer, listener, disturb
        on_block = listener.block if listener is not None else None
        self._streams = SensorStreams(self.world, seed, contract, timing.tare_s, backbone is not None, on_block)
        self._arm = load_arm("meca500")
        self._tool = Pose(np.array([0.0, 0.0, scene.TOOL_LENGTH_M]), np.eye(3))
        self.gate = Gate(limits, self._arm, self._tool, execution)
        self.policy: Policy = policy or PrivilegedPolicy(self.world, self.colour, seed)
        self.policy.reset(GOAL, self.instruction)
        self._sample = 0
        self._control_due, self._chunk_due, self._features_due = map(Due, (CONTROL_HZ, CHUNK_HZ, timing.feature_hz))
        phases = (i / len(self._views) for i in range(len(self._views)))
        self._image_due = [(view, Due(timing.image_hz, phase)) for view, phase in zip(self._views, phases, strict=True)]
        self._dq = np.zeros(6)
        self._pictures = {view: deque[tuple[int, np.ndarray]](maxlen=PICTURES_KEPT) for view in self._views}
        self._on_the_way: list[tuple[int, Chunk]] = []
        self._chunks = self._rejected = 0
        self._finished_s: float | None = None
        self.ended = ""
        self.status = ""

    def run(self) -> Episode:
        """Play the episode to its end."""
        while not self.ended:
            self.step()
        truth = self.world.truth(self.colour)
        return Episode(
            seed=self.world.layout.seed,
            colour=self.colour,
            success=self.ended == "finished" and truth.success(),
            reason=self.ended,
            duration_s=self.world.time_s,
            truth=truth,
            chunks=self._chunks,
            rejected=self._rejected,
        )

    def step(self) -> None:
        """Advance one sensor sample, 1/650 s: sense, see, plan, decide, move."""
        now_s, now_ns = self.world.time_s, stamp_ns(self._sample)
        force_n = self._streams.sample(now_ns)
        if force_n is not None and self.gate.force(force_n, now_s) is not None:
            self._dq = np.zeros(6)
        control = self._control_due.now(self._sample)
        if control:
            self._streams.robot(now_ns)
            if self._listener is not None:
                self._listener.robot(now_ns, self.world.q, self.world.dq, self.world.tool_pose)
        for view, due in self._image_due:
            if due.now(self._sample):
                self._take_picture(view, now_ns)
        if self._features_due.now(self._sample) and self._backbone is not None:
            self._see(self._backbone, now_ns)
        if self._chunk_due.now(self._sample) and self._streams.tared:
            self._plan(now_ns)
        if control:
            self._deliver(now_s, now_ns)
            self._control(now_s, now_ns)
        self.world.step(self._dq)
        self._sample += 1
        self._judge()

    def _take_picture(self, view: str, now_ns: int) -> None:
        state = self.world.render_state()
        # Images nobody looks at are never rendered: only the state is kept until the backbone asks.
        self._pictures[view].append((now_ns, state))
        if self._listener is not None:
            self._listener.picture(view, now_ns, state)

    def _see(self, backbone: Backbone, now_ns: int) -> None:
        arrived = now_ns - int(self._timing.image_delay_s * 1e9)
        images = []
        for view in self._views:
            known = [(stamp, state) for stamp, state in self._pictures[view] if stamp <= arrived]
            if not known or self._renderer is None:
                return
            stamp, state = known[-1]
            images.append(CameraImage(view, stamp, self._renderer.render(view, state)))
        try:
            features = backbone.encode(images, self.instruction)
        except ValueError as error:
            # The vlm node would withdraw its features, and say why.
            self.status = str(error)
            return
        known_ns = now_ns + int(self._timing.feature_delay_s * 1e9)
        self._streams.features(features, min(image.stamp_ns for image in images), known_ns)
        if self._listener is not None:
            self._listener.features(features, known_ns)

    def _plan(self, now_ns: int) -> None:
        try:
            observation = self._streams.observe(now_ns)
            action = self.policy.act(observation)
        except Missing as missing:
            self.status = str(missing)
            return
        self.status = action.status
        row = observation.streams["tool_pose"].values[-1]
        delay_ns = int(self._timing.inference_delay_s * 1e9)
        chunk = Chunk(
            session=SESSION,
            sequence=self._chunks,
            goal=GOAL,
            stamp_ns=now_ns,
            anchor=Pose(row[:3].copy(), matrix_from_quaternion(row[3:7])),
            dt_s=DT_S,
            deltas=action.deltas,
            aux=action.aux,
            policy_id=self.policy.policy_id,
            status=action.status,
            features_stamp_ns=observation.newest_ns.get("features", 0),
            force_stamp_ns=observation.newest_ns.get("force", 0),
            inference_s=self._timing.inference_delay_s,
        )
        self._chunks += 1
        if self._listener is not None:
            self._listener.chunk(chunk, now_ns + delay_ns)
        self._on_the_way.append((now_ns + delay_ns, self._disturb(chunk) if self._disturb else chunk))

    def _deliver(self, now_s: float, now_ns: int) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= now_ns:
            _, chunk = self._on_the_way.pop(0)
            try:
                self.gate.chunk(chunk, now_ns, now_s)
            except ChunkRejected as rejection:
                self._rejected += 1
                self.status = str(rejection)
            if chunk.aux[-1] > FINISHED_AUX and self._finished_s is None:
                self._finished_s = now_s

    def _control(self, now_s: float, now_ns: int) -> None:
        world = self.world
        self.gate.heartbeat(True, GOAL, now_s)
        self.gate.robot(world.q, world.dq, world.tool_pose, now_s)
        decision = self.gate.step(now_s, now_ns)
        if self._listener is not None:
            self._listener.cycle(now_ns, decision, self.gate.status(now_s, now_ns))
        try:
            self._dq = twist_to_joint_rates(self._arm, world.q, decision.twist, self._tool)
        except NoSolution:
            # The robot would refuse such a velocity and stand still, too.
            self._dq = np.zeros(6)
        if decision.state is State.FAULT:
            self.ended = f"fault: {decision.reason}"

    def _judge(self) -> None:
        if self.ended:
            return
        if self.status.startswith("failed"):
            self.ended = self.status
        elif self._finished_s is not None and self.world.time_s >= self._finished_s + REST_S:
            self.ended = "finished"
        elif self.world.time_s >= self._time_limit_s:
            self.ended = f"time limit of {self._time_limit_s:g} s"


if __name__ == "__main__":
    import sys

    from insertion_vla_sim.sweep import main

    sys.exit(main())
