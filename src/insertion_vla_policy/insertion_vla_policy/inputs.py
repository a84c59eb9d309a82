"""From an observation to the model's inputs, by the same code in the live node, the training set and a notebook.

Inputs are a dict of numpy arrays in physical units (SI, base axes). Every array that may lack data has a mask beside it
(True: a datum). Slots without a datum hold 0, which only keeps arithmetic finite: models must look at the mask.

    state          (J + 9,)   joints [rad], tool position [m], tool rotation: first two columns of its matrix
    force          (F, C)     the newest window at the contract's rate, oldest first       force_mask        (F,)
    history        (H, 1|2)   [mean axial force (N), mean surface distance (m)] per step   history_mask      (H, 1|2)
    features       (n, d)     tokens of the backbone                                       features_mask     (n,)
    feature_age    (1,)       since the oldest image behind the features [s]               feature_age_mask  (1,)
    tool_motion    (6,)       pose_delta of the tool from that image to now [m, rad]       tool_motion_mask  (1,)
    target         (10,)      the named trocar from the needle, if the spec has it         target_mask       (1,)

Only the last four depend on the features, so that a training set can prepare `sensor_inputs` once and draw features of
another age with `feature_inputs`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from insertion_vla_core.chunk import AUX_RANGE, HORIZON
from insertion_vla_core.contract import Contract, Stream
from insertion_vla_core.geometry import Pose, interpolate, matrix_from_quaternion, pose_delta
from insertion_vla_core.observation import Missing, Observation, Window
from insertion_vla_core.strict_yaml import StrictModel
from numpy.typing import NDArray
from pydantic import Field

from insertion_vla_policy.target import TARGET_CHANNELS, TargetFinder, target_row

ACTION_CHANNELS = 7  # dx dy dz rx ry rz aux
TOOL_CHANNELS = 9  # position and two columns of the rotation
MOTION_CHANNELS = 6

Inputs = dict[str, NDArray[Any]]


class InputSpec(StrictModel):
    """Shapes of the inputs; part of every checkpoint.

    Attributes:
        joints: J, number of joints.
        force_channels: C, numbers per force sample.
        force_rows: F, samples in the force window.
        history_rows: H, steps of the history.
        history_force_rows: force samples averaged into one step.
        history_surface_rows: surface distances averaged into one step; 0 where the history has forces alone.
        feature_tokens: n, the most tokens that features may have; 0 for a policy that does not see.
        feature_dim: d, numbers per token.
        pose_gap_s: tool poses farther apart than this are not interpolated between.
        target: where the named trocar is in space is an input (see target.py); it takes calibrated cameras.
    """

    joints: int = Field(ge=1)
    force_channels: int = Field(ge=1)
    force_rows: int = Field(ge=1)
    history_rows: int = Field(ge=1)
    history_force_rows: int = Field(ge=1)
    history_surface_rows: int = Field(ge=0)
    feature_tokens: int = Field(ge=0)
    feature_dim: int = Field(ge=0)
    pose_gap_s: float = Field(gt=0.0)
    target: bool = False

    @property
    def state_channels(self) -> int:
        """Numbers in `state`."""
        return self.joints + TOOL_CHANNELS

    @property
    def history_channels(self) -> int:
        """Numbers per step of `history`."""
        return 2 if self.history_surface_rows else 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every input by name, masks included."""
        history = (self.history_rows, self.history_channels)
        target = {"target": (TARGET_CHANNELS,), "target_mask": (1,)} if self.target else {}
        return {
            "state": (self.state_channels,),
            "force": (self.force_rows, self.force_channels),
            "force_mask": (self.force_rows,),
            "history": history,
            "history_mask": history,
            "features": (self.feature_tokens, self.feature_dim),
            "features_mask": (self.feature_tokens,),
            "feature_age": (1,),
            "feature_age_mask": (1,),
            "tool_motion": (MOTION_CHANNELS,),
            "tool_motion_mask": (1,),
            **target,
        }


def input_spec(
    contract: Contract,
    feature_tokens: int,
    feature_dim: int,
    force_window_s: float = 0.1,
    history_s: float = 1.0,
    history_hz: float = 32.5,
    surface: bool = True,
    target: bool = False,
) -> InputSpec:
    """The inputs that a contract can give.

    Args:
        contract: with the streams joints, tool_pose and force, and where there are any surface_distance and features.
        feature_tokens: n of the backbone's features; 0 for a policy that does not see.
        feature_dim: d of the backbone's features.
        force_window_s: length of the force window at full rate [s].
        history_s: length of the history [s].
        history_hz: steps of the history per second; must divide the rates of force and surface distance.
        surface: surface distance is part of the history where the contract has it.
        target: the trocar in space is an input.

    Raises:
        ValueError: the contract lacks a stream or its windows are too short.
    """
    names = {stream.name for stream in contract.observations}
    if absent := [name for name in ("joints", "tool_pose", "force") if name not in names]:
        raise ValueError(f"contract '{contract.name}': expected the observation {absent[0]}, got {', '.join(names)}")
    force, steps = contract.stream("force"), math.floor(history_s * history_hz)
    surface = surface and "surface_distance" in names
    return InputSpec(
        joints=contract.stream("joints").width,
        force_channels=force.width,
        force_rows=_rows(force, round(force_window_s * force.rate_hz)),
        history_rows=steps,
        history_force_rows=_rows_per_step(force, history_hz, steps),
        history_surface_rows=_rows_per_step(contract.stream("surface_distance"), history_hz, steps) if surface else 0,
        feature_tokens=feature_tokens,
        feature_dim=feature_dim if feature_tokens else 0,
        pose_gap_s=2.0 * contract.stream("tool_pose").max_age_s,
        target=target,
    )


def _rows(stream: Stream, rows: int) -> int:
    if not 1 <= rows <= round(stream.window_s * stream.rate_hz):
        raise ValueError(
            f"expected a window of at most {stream.window_s:g} s of '{stream.name}', got "
            f"{rows / stream.rate_hz:g} s: shorten it, or lengthen window_s in the contract"
        )
    return rows


def _rows_per_step(stream: Stream, history_hz: float, steps: int) -> int:
    rows = round(stream.rate_hz / history_hz)
    if steps < 1 or abs(rows * history_hz - stream.rate_hz) > 1e-6 * stream.rate_hz:
        raise ValueError(
            f"expected a history of at least one step at a rate that divides the {stream.rate_hz:g} Hz of "
            f"'{stream.name}', got {history_hz:g} Hz: choose for example {stream.rate_hz / max(1, rows):g}"
        )
    _rows(stream, rows * steps)
    return rows


def build_inputs(observation: Observation, spec: InputSpec, find_target: TargetFinder | None = None) -> Inputs:
    """All inputs of one observation; shapes are `spec.shapes()`, values float32, masks bool.

    `find_target` is needed for a spec with `target`.

    Raises:
        Missing: joints or tool pose have no datum at the tick: hold.
        ValueError: a stream or the features have another shape than the spec.
    """
    return {**sensor_inputs(observation, spec), **feature_inputs(observation, spec, find_target)}


def sensor_inputs(observation: Observation, spec: InputSpec) -> Inputs:
    """The inputs that do not depend on features: state, force, history; errors as `build_inputs`."""
    force: Window = observation.streams["force"]
    joints = _newest(observation, "joints", spec.joints)
    tool = _newest(observation, "tool_pose", 7)
    state = np.empty(spec.state_channels, np.float32)
    state[: spec.joints] = joints
    state[spec.joints : spec.joints + 3] = tool[:3]
    state[spec.joints + 3 :] = matrix_from_quaternion(tool[3:7])[:, :2].T.ravel()
    if force.values.shape[1] != spec.force_channels or len(force.values) < spec.force_rows:
        raise ValueError(
            f"expected at least {spec.force_rows} rows of {spec.force_channels} force channels, "
            f"got {force.values.shape}: the policy was made for another contract"
        )
    mask = force.mask[-spec.force_rows :]
    window = force.values[-spec.force_rows :].astype(np.float32)
    window[~mask] = 0.0
    history, history_mask = _history(observation, spec)
    return {"state": state, "force": window, "force_mask": mask, "history": history, "history_mask": history_mask}


def _newest(observation: Observation, name: str, width: int) -> NDArray[np.float64]:
    window: Window = observation.streams[name]
    if window.values.shape[1] != width:
        raise ValueError(
            f"expected {width} channels of '{name}', got {window.values.shape[1]}: the policy was made for another "
            "contract"
        )
    if not window.mask[-1]:
        raise Missing(name, None, 0.0, "its newest row holds no number")
    row: NDArray[np.float64] = window.values[-1]
    return row


def _history(observation: Observation, spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    values = np.empty((spec.history_rows, spec.history_channels), np.float32)
    mask = np.empty((spec.history_rows, spec.history_channels), bool)
    parts = [("force", spec.history_force_rows), ("surface_distance", spec.history_surface_rows)]
    for column, (name, rows) in enumerate(parts[: spec.history_channels]):
        window: Window | None = observation.streams.get(name)
        if window is None:
            values[:, column], mask[:, column] = 0.0, False
            continue
        valid = window.mask[-spec.history_rows * rows :].reshape(spec.history_rows, rows)
        block = window.values[-spec.history_rows * rows :, 0].reshape(spec.history_rows, rows)
        count = valid.sum(axis=1)
        # The mean of what there is; no sample is made up and none comes from a later step.
        values[:, column] = np.where(valid, block, 0.0).sum(axis=1) / np.maximum(count, 1)
        mask[:, column] = count > 0
    return values, mask


def feature_inputs(observation: Observation, spec: InputSpec, find_target: TargetFinder | None = None) -> Inputs:
    """The inputs that come with the features, all masked where there are none.

    Raises:
        ValueError: the tokens do not fit the spec.
    """
    tokens = np.zeros((spec.feature_tokens, spec.feature_dim), np.float32)
    mask = np.zeros(spec.feature_tokens, bool)
    age, seen = np.zeros(1, np.float32), np.zeros(1, bool)
    motion, known = np.zeros(MOTION_CHANNELS, np.float32), np.zeros(1, bool)
    target = {"target": np.zeros(TARGET_CHANNELS, np.float32), "target_mask": np.zeros(1, bool)} if spec.target else {}
    entry = observation.streams.get("features") if spec.feature_tokens else None
    if entry is not None:
        given = entry.newest.tokens
        if given.ndim != 2 or given.shape[1] != spec.feature_dim or not 1 <= len(given) <= spec.feature_tokens:
            raise ValueError(
                f"expected features of at most {spec.feature_tokens} tokens of {spec.feature_dim} numbers, got shape "
                f"{given.shape}: run the backbone that the policy was trained with"
            )
        tokens[: len(given)] = given
        mask[: len(given)] = True
        age[0], seen[0] = (observation.stamp_ns - entry.stamp_ns) * 1e-9, True
        moved = tool_motion(observation.streams["tool_pose"], entry.stamp_ns, spec.pose_gap_s)
        if moved is not None:
            motion[:], known[0] = moved, True
        if spec.target:
            assert find_target is not None, "a spec with a target needs a finder"
            poses = observation.streams["tool_pose"]
            tube = find_target(entry.newest, poses)
            if tube is not None and poses.mask[-1]:
                target["target"][:] = target_row(tube.mouth, tube.axis, _pose(poses.values[-1]))
                target["target_mask"][0] = True
    return {
        "features": tokens,
        "features_mask": mask,
        "feature_age": age,
        "feature_age_mask": seen,
        "tool_motion": motion,
        "tool_motion_mask": known,
        **target,
    }


def tool_motion(poses: Window, stamp_ns: int, gap_s: float) -> NDArray[np.float64] | None:
    """How the tool has moved since a stamp: (6,) [m, rad; base axes] to the window's newest pose.

    None where the stamp lies outside the window's data, in a gap of more than `gap_s`, or the newest pose is unknown.
    """
    rows = np.flatnonzero(poses.mask)
    stamps = poses.stamps_ns[rows]
    after = int(np.searchsorted(stamps, stamp_ns, side="left"))
    if after == len(stamps) or not poses.mask[-1]:
        return None
    end = _pose(poses.values[rows[after]])
    if stamps[after] == stamp_ns:
        then = end
    elif after == 0 or stamps[after] - stamps[after - 1] > round(gap_s * 1e9):
        return None
    else:
        share = (stamp_ns - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
        then = interpolate(_pose(poses.values[rows[after - 1]]), end, float(share))
    return pose_delta(then, _pose(poses.values[-1]))


def _pose(row: NDArray[np.float64]) -> Pose:
    return Pose(row[:3], matrix_from_quaternion(row[3:7]))


def deltas_and_aux(output: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a model's output (8, 7) [m, rad, 1] commands: deltas (8, 6) and aux (8,), float64.

    The auxiliary channel names a class and is cut to its range; deltas stay as they are, to be judged by the gate.
    """
    if output.shape != (HORIZON, ACTION_CHANNELS):
        raise ValueError(f"expected an output of shape ({HORIZON}, {ACTION_CHANNELS}), got {output.shape}")
    values = output.astype(np.float64)
    return values[:, :6], np.clip(values[:, 6], *AUX_RANGE)


def action_target(deltas: NDArray[Any], aux: NDArray[Any]) -> NDArray[np.float32]:
    """The training target (8, 7) float32 of deltas (8, 6) and aux (8,): undone by `deltas_and_aux`."""
    return np.concatenate([deltas, np.asarray(aux)[:, None]], axis=1).astype(np.float32)
