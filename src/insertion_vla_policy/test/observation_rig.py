"""Observations for tests: the shipped contract, filled as the driver nodes fill it."""

from pathlib import Path

import numpy as np
from insertion_vla_core.contract import Contract, load_contract
from insertion_vla_core.geometry import Pose, apply_delta, quaternion_from_matrix
from insertion_vla_core.observation import Observation, ObservationBuilder
from insertion_vla_policy.protocol import Features

CONFIG = Path(__file__).parents[3] / "config"
CONTRACT: Contract = load_contract(CONFIG / "contracts" / "insertion.yaml")
MS = 1_000_000
START_NS = 1_700_000_000_000 * MS
TICK_NS = START_NS + 2500 * MS
TOKENS, DIM = 6, 8
TWIST = np.array([0.004, -0.002, 0.001, 0.03, 0.02, -0.05])  # of the tool [m/s, rad/s]
MODEL = ("color_keypoints", "hash-1")


def tool_at(t_ns: int) -> Pose:
    """A tool that moves evenly."""
    return apply_delta(Pose(np.array([0.2, 0.0, 0.1]), np.eye(3)), TWIST * (t_ns - START_NS) * 1e-9)


def features(stamp_ns: int, seed: int = 0, tokens: int = TOKENS, model: tuple[str, str] = MODEL) -> Features:
    """Random features of three views."""
    values = np.random.default_rng(seed).normal(size=(tokens, DIM)).astype(np.float32)
    return Features(values, "Insert", ("front", "side", "hand"), (stamp_ns,) * 3, *model, 0.01)


def builder(
    feature_age_ms: float | None = 300.0, surface: bool = True, force: bool = True, seed: int = 0
) -> ObservationBuilder:
    """2.5 s of all streams; noise of `seed` on joints, force and distance."""
    rng = np.random.default_rng(seed)
    kept = tuple(s for s in CONTRACT.observations if not (s.payload and feature_age_ms is None))
    result = ObservationBuilder(CONTRACT.model_copy(update={"observations": kept}))
    for ms in range(0, 2501, 10):
        now = START_NS + ms * MS
        result.push("joints", now, now, 0.1 * np.arange(6) + 0.01 * rng.normal(size=6))
        pose = tool_at(now)
        result.push("tool_pose", now, now, [*pose.position, *quaternion_from_matrix(pose.rotation)])
    for block in range(162):
        stamps = START_NS + np.round(np.arange(block * 10, block * 10 + 10) * 1e9 / 650.0).astype(np.int64)
        now = int(stamps[-1])
        if force:
            result.extend("force", stamps, now, 0.1 + 0.02 * rng.normal(size=(10, 1)))
        if surface:
            result.push("surface_distance", now, now, [0.003 + 0.0002 * rng.normal()])
    if feature_age_ms is not None:
        stamp = TICK_NS - round(feature_age_ms * MS)
        result.push("features", stamp, TICK_NS, features(stamp, seed))
    return result


def observation(**options) -> Observation:
    """What `builder` gives at the tick."""
    return builder(**options).build(TICK_NS)
