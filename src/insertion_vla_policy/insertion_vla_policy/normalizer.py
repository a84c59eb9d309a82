"""Normalisation of inputs and actions: (value - centre) / scale, robust, the same in training and serving.

It travels with the checkpoint as normalizer.safetensors. Two methods:

    quantile  centre and half distance of the 1 % and 99 % quantiles: outliers do not count, most values lie in -1..1
    mean_std  mean and standard deviation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from insertion_vla_core.chunk import HORIZON
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import save_file
from torch import Tensor

from insertion_vla_policy.inputs import ACTION_CHANNELS, TOOL_CHANNELS, InputSpec
from insertion_vla_policy.tensors import load_tensors

Method = Literal["quantile", "mean_std"]
CLIP = 10.0  # a broken sensor must not drown everything else
# Smallest scales: what hardly varies in the data is not blown up. Joints and turns [rad], lengths [m], force [N].
JOINT_FLOOR, POSITION_FLOOR, FORCE_FLOOR = 0.01, 0.001, 0.01
ACTION_FLOOR = np.array([1e-4, 1e-4, 1e-4, 1e-3, 1e-3, 1e-3, 0.1])
# The feature's age and the tool's motion since do not stand in the statistics of a store: scales of the graph's design.
AGE_S, MOTION_M, MOTION_RAD = 0.5, 0.01, 0.1
# Of the target: the way, and fine what decides whether the needle meets the hole: across it, along it, and the turn.
TARGET_SCALES = (0.03, 0.03, 0.03, 0.001, 0.001, 0.001, 0.01, 0.05, 0.05, 0.05)

Statistics = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Centres and scales by name; their shapes broadcast against the end of the arrays they are for.

    Attributes:
        centers, scales: float32, by the names of the inputs, and "action".
    """

    centers: dict[str, Tensor]
    scales: dict[str, Tensor]

    def normalize(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Inputs (B, ...) normalised and cut to +-CLIP; masks, and what has no scale, as they are."""
        return {
            name: ((value - self.centers[name]) / self.scales[name]).clamp(-CLIP, CLIP)
            if name in self.scales
            else value
            for name, value in inputs.items()
        }

    def normalize_actions(self, actions: Tensor) -> Tensor:
        """Actions (..., horizon, channels) as models see them."""
        return (actions - self.centers["action"]) / self.scales["action"]

    def actions(self, normalized: Tensor) -> Tensor:
        """Undoes `normalize_actions`."""
        return normalized * self.scales["action"] + self.centers["action"]

    def to(self, device: torch.device | str) -> Normalizer:
        """The same on another device."""
        return Normalizer(
            {name: value.to(device) for name, value in self.centers.items()},
            {name: value.to(device) for name, value in self.scales.items()},
        )


def vla_normalizer(
    statistics: Statistics,
    spec: InputSpec,
    method: Method = "quantile",
    features: NDArray[Any] | None = None,
    actions: NDArray[Any] | None = None,
) -> Normalizer:
    """From the statistics of a store's training split (`load_statistics`).

    Args:
        statistics: by stream: count, q01, q99, mean, std, each a list over its channels.
        spec: which inputs there are.
        method: see above.
        features: (N, d) tokens of the backbone on training images; None leaves features as they are.
        actions: (N, 8, 7) training targets; None: as the statistics of recorded chunks say, growing evenly along the
            horizon.

    Raises:
        ValueError: a stream has no statistics or no data.
    """
    joints, tool = _of(statistics, "joints", method), _of(statistics, "tool_pose", method)
    force = _of(statistics, "force", method)
    # The columns of a rotation lie in -1..1 already.
    state = _stack(_floored(joints, JOINT_FLOOR), _floored(tool[:, :3], POSITION_FLOOR), _unit(TOOL_CHANNELS - 3))
    history = _floored(force[:, :1], FORCE_FLOOR)
    if spec.history_surface_rows:
        history = _stack(history, _floored(_of(statistics, "surface_distance", method), POSITION_FLOOR))
    parts = {
        "state": state,
        "force": _floored(force, FORCE_FLOOR),
        "history": history,
        "feature_age": np.array([[AGE_S], [AGE_S]]),
        "tool_motion": np.array([[0.0] * 6, [MOTION_M] * 3 + [MOTION_RAD] * 3]),
        "action": _action(statistics, method) if actions is None else action_scale(actions, method),
    }
    if spec.target:
        parts["target"] = np.array([[0.0] * len(TARGET_SCALES), TARGET_SCALES])
    if features is not None and spec.feature_tokens:
        parts["features"] = _floored(center_and_scale(features, method), 1e-3)
    return normalizer_of(parts, spec)


def state_normalizer(states: NDArray[Any], actions: NDArray[Any], method: Method = "quantile") -> Normalizer:
    """For a state diffusion policy, from its training data: states (N, state_dim), actions (N, action_dim)."""
    return normalizer_of(
        {
            "states": _floored(center_and_scale(states, method), 1e-4),
            "action": _floored(center_and_scale(actions, method), 1e-4),
        }
    )


def normalizer_of(parts: Mapping[str, ArrayLike], spec: InputSpec | None = None) -> Normalizer:
    """From centre and scale (2, ...) by name; those that a spec has no channels for are refused."""
    shapes = spec.shapes() if spec else {}
    centers, scales = {}, {}
    for name, pair in parts.items():
        center, scale = (torch.tensor(np.asarray(half), dtype=torch.float32) for half in np.asarray(pair))
        if name in shapes and center.shape[-1] != shapes[name][-1]:
            raise ValueError(
                f"expected statistics of {shapes[name][-1]} channels for the input '{name}', got {center.shape[-1]}: "
                "they belong to another contract"
            )
        centers[name], scales[name] = center, scale
    return Normalizer(centers, scales)


def center_and_scale(values: NDArray[Any], method: Method) -> NDArray[np.float64]:
    """(2, C) of values (N, C)."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"expected finite values to normalise by, got {values.shape} with gaps: leave missing rows out"
        )
    if method == "mean_std":
        return np.stack([values.mean(axis=0), values.std(axis=0)])
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    return np.stack([(low + high) / 2.0, (high - low) / 2.0])


def action_scale(actions: NDArray[Any], method: Method) -> NDArray[np.float64]:
    """(2, 8, 7) of training targets (N, 8, 7): a chunk is cumulative, so each row has a scale of its own."""
    pair = center_and_scale(np.asarray(actions).reshape(len(actions), -1), method).reshape(2, HORIZON, ACTION_CHANNELS)
    pair[1] = np.maximum(pair[1], ACTION_FLOOR)
    return pair


def _action(statistics: Statistics, method: Method) -> NDArray[np.float64]:
    """The statistics pool all rows: here row k gets a share of them as of an even motion; aux is the same in all."""
    center, scale = _of(statistics, "action", method)
    share = (np.arange(HORIZON) + 1.0)[:, None] / (HORIZON if method == "quantile" else (HORIZON + 1) / 2.0)
    share = np.where(np.arange(ACTION_CHANNELS) < 6, share, 1.0)
    return np.stack([share * center, np.maximum(share * scale, ACTION_FLOOR)])


def _of(statistics: Statistics, stream: str, method: Method) -> NDArray[np.float64]:
    """(2, C) centre and scale of a stream."""
    if method not in get_args(Method):
        raise ValueError(f"expected the method {' or '.join(get_args(Method))}, got '{method}'")
    if stream not in statistics:
        raise ValueError(
            f"expected statistics of '{stream}', got those of {', '.join(statistics)}: run preprocess once more"
        )
    values = statistics[stream]
    if not min(values["count"], default=0):
        raise ValueError(
            f"expected data of '{stream}' in the training episodes, there are none: record some, or leave the stream "
            "out of the policy's inputs"
        )
    if method == "mean_std":
        return np.array([values["mean"], values["std"]], dtype=np.float64)
    low, high = np.array(values["q01"], dtype=np.float64), np.array(values["q99"], dtype=np.float64)
    return np.stack([(low + high) / 2.0, (high - low) / 2.0])


def _floored(pair: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    return np.stack([pair[0], np.maximum(pair[1], floor)])


def _unit(channels: int) -> NDArray[np.float64]:
    return np.stack([np.zeros(channels), np.ones(channels)])


def _stack(*pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate(pairs, axis=1)


def save_normalizer(normalizer: Normalizer, path: str | Path) -> None:
    """Write a safetensors file."""
    tensors = {f"{name}.center": value.contiguous() for name, value in normalizer.centers.items()}
    tensors |= {f"{name}.scale": value.contiguous() for name, value in normalizer.scales.items()}
    save_file(tensors, path)


def load_normalizer(path: str | Path) -> Normalizer:
    """Read what `save_normalizer` wrote.

    Raises:
        ValueError: the file is no such thing, or a scale is not above zero.
    """
    tensors = load_tensors(path, "the normaliser of a checkpoint")
    names = sorted({name.rpartition(".")[0] for name in tensors})
    for name in names:
        center, scale = tensors.get(f"{name}.center"), tensors.get(f"{name}.scale")
        if center is None or scale is None or center.shape != scale.shape:
            raise ValueError(f"expected a centre and a scale of one shape for '{name}' in {path}; save it again")
        if not bool((scale > 0.0).all()):
            raise ValueError(f"expected scales above zero for '{name}' in {path}; train again from sound statistics")
    return Normalizer(
        {name: tensors[f"{name}.center"] for name in names}, {name: tensors[f"{name}.scale"] for name in names}
    )
