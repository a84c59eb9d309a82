"""How far predicted chunks are from the labels: in mm and degrees, per axis and step of the horizon."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MM, DEG = 1e3, 180.0 / np.pi
AXES = ("x", "y", "z")


def rotation_difference(a: Array, b: Array) -> Array:
    """Rotation vectors (..., 3) of exp(a) exp(b)^-1, the turn from b to a, for rotation vectors a and b [rad]."""
    xyz_a, w_a = _quaternions(a)
    xyz_b, w_b = _quaternions(b)
    xyz = w_b * xyz_a - w_a * xyz_b - np.cross(xyz_a, xyz_b)
    w = w_a * w_b + (xyz_a * xyz_b).sum(axis=-1, keepdims=True)
    xyz, w = np.where(w < 0.0, -xyz, xyz), np.abs(w)
    sine = np.linalg.norm(xyz, axis=-1, keepdims=True)
    turn = 2.0 * np.arctan2(sine, w)
    result: Array = xyz * np.where(sine > 1e-12, turn / np.maximum(sine, 1e-12), 2.0)
    return result


def _quaternions(vectors: Array) -> tuple[Array, Array]:
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * 0.5 * np.sinc(angle / (2.0 * np.pi)), np.cos(angle / 2.0)


def chunk_errors(actions: NDArray[Any], labels: NDArray[Any]) -> tuple[Array, Array]:
    """Errors (N, 8, 3) in mm and in degrees, base axes, of actions and labels (N, 8, 7) [m, rad]."""
    a, b = np.asarray(actions, np.float64), np.asarray(labels, np.float64)
    return (a[..., :3] - b[..., :3]) * MM, rotation_difference(a[..., 3:6], b[..., 3:6]) * DEG


def summary(actions: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """Figures of one predictor, as validation.json has them.

    Returns:
        position_mm, rotation_deg: mean length of the error over all samples and steps.
        end_position_mm, end_rotation_deg: of the last step.
        position_axis_mm, rotation_axis_deg: mean absolute error by step (8) and axis (3).
        position_step_mm, rotation_step_deg: mean length of the error by step (8).
        aux_error: mean absolute error of the auxiliary channel.
    """
    position, rotation = chunk_errors(actions, labels)
    lengths, angles = np.linalg.norm(position, axis=-1), np.linalg.norm(rotation, axis=-1)
    return {
        "position_mm": float(lengths.mean()),
        "rotation_deg": float(angles.mean()),
        "end_position_mm": float(lengths[:, -1].mean()),
        "end_rotation_deg": float(angles[:, -1].mean()),
        "position_step_mm": lengths.mean(axis=0).tolist(),
        "rotation_step_deg": angles.mean(axis=0).tolist(),
        "position_axis_mm": np.abs(position).mean(axis=0).tolist(),
        "rotation_axis_deg": np.abs(rotation).mean(axis=0).tolist(),
        "aux_error": float(np.abs(np.asarray(actions)[..., 6] - np.asarray(labels)[..., 6]).mean()),
    }


def calibration(draws: NDArray[Any], labels: NDArray[Any], bins: int = 5) -> dict[str, Any]:
    """Whether the spread of a diffusion expert's draws says how far off it is; of the chunk's last position.

    Args:
        draws: (S, N, 8, 7), S > 1.
        labels: (N, 8, 7).
        bins: groups of samples with rising spread.

    Returns:
        spread_mm, error_mm: root mean square of the draws about their mean, and of that mean about the label.
        error_over_spread: 1 where it is calibrated; above, the expert is too sure of itself.
        coverage, coverage_expected: share of labels (per axis) between the least and the greatest draw.
        correlation: of spread and error over the samples.
        bins: spread_mm and error_mm of each group.
    """
    ends = np.asarray(draws, np.float64)[:, :, -1, :3] * MM
    truth = np.asarray(labels, np.float64)[:, -1, :3] * MM
    count = len(ends)
    mean = ends.mean(axis=0)
    # A label is one more draw: about the mean of S draws it varies by 1 + 1 / S.
    spread = np.sqrt(np.square(ends - mean).sum(axis=-1).sum(axis=0) / (count - 1) * (1.0 + 1.0 / count))
    error = np.linalg.norm(mean - truth, axis=-1)
    covered = (truth >= ends.min(axis=0)) & (truth <= ends.max(axis=0))
    varies = len(error) > 2 and spread.std() > 0.0 and error.std() > 0.0
    order = np.array_split(np.argsort(spread), min(bins, len(spread)))
    return {
        "draws": count,
        "spread_mm": _rms(spread),
        "error_mm": _rms(error),
        "error_over_spread": _rms(error) / max(_rms(spread), 1e-9),
        "coverage": float(covered.mean()),
        "coverage_expected": (count - 1) / (count + 1),
        "correlation": float(np.corrcoef(spread, error)[0, 1]) if varies else None,
        "bins": [{"spread_mm": _rms(spread[group]), "error_mm": _rms(error[group])} for group in order],
    }


def _rms(values: Array) -> float:
    return float(np.sqrt(np.square(values).mean()))
