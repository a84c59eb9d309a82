"""Validation of state policies: their actions have the units of their recordings, so errors are given per channel.

Baselines: `hold` repeats the last action before the newest state, `linear` goes on with the difference of the last two.
Lengths are over the spread of the actions in the data, so that radians and metres can be averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.trainer.state_set import StateSet


def state_report(
    samples: StateSet,
    indices: Sequence[int],
    drawn: NDArray[np.float32],
    labels: NDArray[np.float32],
    rows: NDArray[np.bool_],
) -> dict[str, Any]:
    """Figures of a state policy.

    Args:
        samples: the validation set.
        indices: (N,) samples that were predicted.
        drawn: (S, N, horizon, A).
        labels, rows: (N, horizon, A) and (N, horizon).
    """
    past = samples.n_obs_steps - 1
    before, older = samples.actions_before(indices)
    ahead = np.arange(1, labels.shape[1] - past + 1)[None, :, None]
    predictors = {
        "policy": drawn[0][:, past:],
        "hold": np.broadcast_to(before[:, None], labels[:, past:].shape),
        "linear": before[:, None] + ahead * (before - older)[:, None],
    }
    scale = np.maximum(samples.actions.std(axis=0), 1e-6)
    report: dict[str, Any] = {"samples": len(indices), "of": len(samples), "channels": labels.shape[-1]}
    there = rows[:, past:]
    for name, actions in predictors.items():
        error = np.abs(actions - labels[:, past:])[there]
        report[name] = {"error": float((error / scale).mean()), "channel_error": error.mean(axis=0).tolist()}
    report["beats"] = {name: report["policy"]["error"] < report[name]["error"] for name in ("hold", "linear")}
    if len(drawn) > 1:
        spread = drawn[:, :, past:].std(axis=0, ddof=1)[there] / scale
        error = np.abs(drawn[:, :, past:].mean(axis=0) - labels[:, past:])[there] / scale
        report["spread"] = {"draws": len(drawn), "spread": _rms(spread), "error": _rms(error)}
    return report


def _rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.square(values).mean()))
