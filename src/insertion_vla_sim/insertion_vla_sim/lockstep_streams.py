"""From the simulated sensors to the contract's observation, in blocks and with stamps as the driver nodes send them."""

from __future__ import annotations

from typing import Any

import numpy as np
from insertion_vla_core.aline import surface_distance
from insertion_vla_core.contract import Contract
from insertion_vla_core.geometry import quaternion_from_matrix
from insertion_vla_core.observation import Observation, ObservationBuilder

from insertion_vla_sim import scene
from insertion_vla_sim.sensors import RAW_PER_NEWTON, ForceSensor
from insertion_vla_sim.world import World

BLOCK = 10
START_NS = 1_000_000_000_000


def stamp_ns(sample: int) -> int:
    """Stamp of a sensor sample counted from the episode's start."""
    return START_NS + round(sample * 1e9 / scene.SAMPLE_RATE_HZ)


class SensorStreams:
    """Reads the sensors, tares the force and fills the observation builder."""

    def __init__(self, world: World, seed: int, contract: Contract, tare_s: float, features: bool) -> None:
        self._world = world
        self._sensor = ForceSensor(world, seed)
        kept = tuple(stream for stream in contract.observations if features or not stream.payload)
        self._builder = ObservationBuilder(contract.model_copy(update={"observations": kept}))
        self._tare_samples = round(tare_s * scene.SAMPLE_RATE_HZ)
        self._untared: list[float] = []
        self._zero = 0.0
        self._block: list[tuple[int, float, np.ndarray]] = []

    @property
    def tared(self) -> bool:
        """Whether the force is in newtons yet."""
        return len(self._untared) >= self._tare_samples

    def sample(self, now_ns: int) -> float | None:
        """Read the sensor once; the axial force after scale and tare [N], None while the baseline is being taken."""
        raw, aline = self._sensor.read()
        if not self.tared:
            self._untared.append(float(raw))
            self._zero = float(np.mean(self._untared))
            return None
        force_n = (float(raw) - self._zero) / RAW_PER_NEWTON
        self._block.append((now_ns, force_n, aline))
        if len(self._block) == BLOCK:
            stamps, forces, lines = zip(*self._block, strict=True)
            self._builder.extend("force", stamps, now_ns, np.array(forces)[:, None])
            distance = surface_distance(np.mean(lines, axis=0))
            self._builder.push("surface_distance", now_ns, now_ns, [distance])
            self._block.clear()
        return force_n

    def robot(self, now_ns: int) -> None:
        """Take in the robot's state."""
        pose = self._world.tool_pose
        self._builder.push("joints", now_ns, now_ns, self._world.q)
        row = np.concatenate([pose.position, quaternion_from_matrix(pose.rotation)])
        self._builder.push("tool_pose", now_ns, now_ns, row)

    def features(self, features: Any, stamp: int, receive_ns: int) -> None:
        """Take in features of images taken at `stamp`, known from `receive_ns` on."""
        self._builder.push("features", stamp, receive_ns, features)

    def observe(self, now_ns: int) -> Observation:
        """The observation at a tick; raises `Missing` as in the graph."""
        return self._builder.build(now_ns)
