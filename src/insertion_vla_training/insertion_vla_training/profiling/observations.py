"""Observations of a checkpoint's contract, whole and made up: what a policy is timed on where there is no robot.

Every stream holds as many rows as its window asks for, and features come as seldom as in the graph: a policy that works
something out anew for every feature set does so here as often as there.
"""

from __future__ import annotations

import numpy as np
from insertion_vla_core.calibration import Calibration
from insertion_vla_core.contract import Contract, Stream
from insertion_vla_core.geometry import Pose, quaternion_from_matrix
from insertion_vla_core.observation import Observation, ObservationBuilder
from insertion_vla_policy.checkpoint_config import BackboneRef
from insertion_vla_policy.experts.trocar_estimate import KEY_POINTS
from insertion_vla_policy.inputs import InputSpec
from insertion_vla_policy.protocol import Features
from numpy.typing import NDArray

NS = 1_000_000_000
START_NS, SETTLE_S = 1_700_000_000 * NS, 2.5  # as much of every stream as the longest window holds, and some more
TICK_S = 0.1
FEATURES_EVERY = 4  # ticks: 2.6 Hz at 10 Hz
FEATURES_AGE_S = 0.3
TOOL = np.array([0.2, 0.0, 0.15])  # [m]
DOWN = np.diag([1.0, -1.0, -1.0])  # the needle points down
MOUTH_BELOW_M = 0.04  # the tip


class Scene:
    """Streams of a tool that stands still above a trocar, with the noise of one seed.

    Args:
        contract: whose streams are filled.
        spec: the shapes of the features.
        backbone: whose features they claim to be; None for a policy that does not see.
        calibration: of the cameras, for a spec with a target: its features show a trocar.
    """

    def __init__(
        self,
        contract: Contract,
        spec: InputSpec,
        backbone: BackboneRef | None,
        calibration: Calibration | None = None,
        seed: int = 0,
    ) -> None:
        self._contract, self._spec, self._backbone = contract, spec, backbone
        self._rng = np.random.default_rng(seed)
        self._views = (backbone.views if backbone else ()) or ("front",)
        self._tokens = trocar_tokens(calibration, self._views) if spec.target and calibration else np.zeros((0, 5))
        self._builder = ObservationBuilder(contract)
        self._now_ns, self._ticks = START_NS, 0
        self._fill(round(SETTLE_S / TICK_S) * TICK_S)

    def advance(self) -> None:
        """Let 0.1 s pass."""
        self._fill(TICK_S)
        if self._backbone and self._ticks % FEATURES_EVERY == 0:
            features = self._features(self._now_ns - round(FEATURES_AGE_S * NS))
            for stream in self._contract.observations:
                if stream.payload:
                    self._builder.push(stream.name, features.stamp_ns, self._now_ns, features)
        self._ticks += 1

    def observe(self) -> Observation:
        """The observation at this time; Missing if the contract cannot be satisfied, which is a defect of ours."""
        return self._builder.build(self._now_ns)

    def _fill(self, seconds: float) -> None:
        end_ns = self._now_ns + round(seconds * NS)
        for stream in self._contract.observations:
            if stream.payload:
                continue
            count = max(1, round(seconds * stream.rate_hz))
            stamps = end_ns - (np.arange(count)[::-1] * (NS / stream.rate_hz)).astype(np.int64)
            self._builder.extend(stream.name, stamps, end_ns, self._rows(stream, count))
        self._now_ns = end_ns

    def _rows(self, stream: Stream, count: int) -> NDArray[np.float64]:
        if stream.name == "tool_pose":
            return np.tile([*TOOL, *quaternion_from_matrix(DOWN)], (count, 1))
        return 0.1 + 0.02 * self._rng.normal(size=(count, stream.width))

    def _features(self, stamp_ns: int) -> Features:
        assert self._backbone is not None
        tokens = self._rng.normal(size=(self._spec.feature_tokens, self._spec.feature_dim)).astype(np.float32)
        if self._spec.target:
            tokens[:, :5] = 0.0  # no confidence: not seen
            tokens[: len(self._tokens), :5] = self._tokens
        return Features(
            tokens, "insert the needle into the red trocar", self._views, (stamp_ns,) * len(self._views),
            self._backbone.model_id, self._backbone.model_hash, 0.1,
        )  # fmt: skip


def trocar_tokens(calibration: Calibration, views: tuple[str, ...]) -> NDArray[np.float64]:
    """Tokens (n, 5) (view, key point, u, v, confidence) of a trocar below the needle, in the views that show it."""
    flange = Pose(TOOL, DOWN) @ calibration.tool.inverse()
    mouth = TOOL - np.array([0.0, 0.0, MOUTH_BELOW_M])
    rows = []
    for number, name in enumerate(views):
        camera = calibration.cameras.get(name)
        for kind, (along, out) in enumerate(KEY_POINTS if camera else ()):
            u, v = camera.project(mouth + [out, 0.0, -along], flange)
            if np.isfinite(u):
                rows.append([number, kind, (u + 0.5) / camera.view.width, (v + 0.5) / camera.view.height, 1.0])
    return np.array(rows).reshape(-1, 5)
