"""From the simulated sensors to the contract's observation, in blocks and with stamps as the driver nodes send them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from insertion_vla_core.aline import surface_distance
from insertion_vla_core.contract import Contract
from insertion_vla_core.geometry import quaternion_from_matrix
from insertion_vla_core.observation import Observation, ObservationBuilder

from insertion_vla_sim import scene
from insertion_vla_sim.sensors import ALINE_BINS, RAW_PER_NEWTON, ForceSensor
from insertion_vla_sim.world import World

BLOCK = 10
START_NS = 1_000_000_000_000


def stamp_ns(sample: int) -> int:
    """Stamp of a sensor sample counted from the episode's start."""
    return START_NS + round(sample * 1e9 / scene.SAMPLE_RATE_HZ)


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive samples of the force sensor, oldest first.

    Attributes:
        stamps_ns: (10,) int64.
        force_n: (10,) after scale and tare [N], NaN before the tare.
        force_raw: (10,) float32 as sent [sensor units].
        alines: (10, 1025) float32.
    """

    stamps_ns: np.ndarray
    force_n: np.ndarray
    force_raw: np.ndarray
    alines: np.ndarray

    @staticmethod
    def empty() -> Block:
        """Room for a block."""
        lines = np.empty((BLOCK, ALINE_BINS), np.float32)
        return Block(np.zeros(BLOCK, np.int64), np.full(BLOCK, np.nan), np.zeros(BLOCK, np.float32), lines)


class SensorStreams:
    """Reads the sensors, tares the force and fills the observation builder.

    `on_block` gets every block when it is full.
    """

    def __init__(
        self,
        world: World,
        seed: int,
        contract: Contract,
        tare_s: float,
        features: bool,
        on_block: Callable[[Block], None] | None = None,
    ) -> None:
        self._world, self._on_block = world, on_block
        self._sensor = ForceSensor(world, seed)
        kept = tuple(stream for stream in contract.observations if features or not stream.payload)
        self._builder = ObservationBuilder(contract.model_copy(update={"observations": kept}))
        self._tare_samples = round(tare_s * scene.SAMPLE_RATE_HZ)
        self._untared: list[float] = []
        self._zero = np.nan
        self._block, self._in_block = Block.empty(), 0

    @property
    def tared(self) -> bool:
        """Whether the force is in newtons yet."""
        return len(self._untared) >= self._tare_samples

    def sample(self, now_ns: int) -> float | None:
        """Read the sensor once; the axial force after scale and tare [N], None while the baseline is being taken."""
        raw, aline = self._sensor.read()
        force_n = None
        if self.tared:
            force_n = (float(raw) - self._zero) / RAW_PER_NEWTON
        else:
            self._untared.append(float(raw))
            if self.tared:
                self._zero = float(np.mean(self._untared))
        block, i = self._block, self._in_block
        block.stamps_ns[i], block.force_raw[i], block.alines[i] = now_ns, raw, aline
        if force_n is not None:
            block.force_n[i] = force_n
        self._in_block = i + 1
        if self._in_block == BLOCK:
            self._take(block, now_ns)
        return force_n

    def _take(self, block: Block, now_ns: int) -> None:
        self._block, self._in_block = Block.empty(), 0
        self._builder.extend("force", block.stamps_ns, now_ns, block.force_n[:, None])
        self._builder.push("surface_distance", now_ns, now_ns, [surface_distance(block.alines.mean(axis=0))])
        if self._on_block is not None:
            self._on_block(block)

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
