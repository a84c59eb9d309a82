"""The normaliser of a run: from the statistics of its stores, its actions and its features."""

from __future__ import annotations

from typing import Any

import numpy as np
from insertion_vla_policy.inputs import InputSpec
from insertion_vla_policy.normalizer import Normalizer, vla_normalizer
from numpy.typing import NDArray

from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.stores.statistics import load_statistics
from insertion_vla_training.stores.store import Store
from insertion_vla_training.trainer.settings import TrainSettings

ROWS_MAX = 20_000  # of actions and tokens that are looked at
HIDDEN = 1e30  # a scale that makes a constant of anything


def normalizer_for(
    train: TrainingSet, spec: InputSpec, settings: TrainSettings, actions: NDArray[np.float32]
) -> Normalizer:
    statistics = merged([load_statistics(Store.open(source.store)) for source in train.sources])
    normalizer = vla_normalizer(
        statistics, spec, settings.model.normalization, _some_tokens(train, spec), _thin(actions)
    )
    if not settings.model.robot_state:
        normalizer.scales["state"].fill_(HIDDEN)
        normalizer.scales["tool_motion"].fill_(HIDDEN)
    return normalizer


def merged(statistics: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Statistics of several stores as one: pooled means, and the widest of their quantiles."""
    result = dict(statistics[0])
    for other in statistics[1:]:
        for name in result:
            result[name] = _pair(result[name], other[name])
    return result


def _pair(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    if not min(a["count"], default=0) or not min(b["count"], default=0):
        return a if min(a["count"], default=0) else b
    n, m = np.array(a["count"], float), np.array(b["count"], float)
    mean = (n * a["mean"] + m * np.array(b["mean"])) / (n + m)
    square = (n * (np.square(a["std"]) + np.square(a["mean"])) + m * (np.square(b["std"]) + np.square(b["mean"]))) / (
        n + m
    )
    return {
        "count": (n + m).tolist(),
        "mean": mean.tolist(),
        "std": np.sqrt(np.maximum(square - mean**2, 0.0)).tolist(),
        "q01": np.minimum(a["q01"], b["q01"]).tolist(),
        "q99": np.maximum(a["q99"], b["q99"]).tolist(),
    }


def _thin(values: NDArray[Any]) -> NDArray[Any]:
    return values[:: max(1, -(-len(values) // ROWS_MAX))]


def _some_tokens(train: TrainingSet, spec: InputSpec) -> NDArray[np.float32] | None:
    """Tokens (N, d) of image sets spread over the training episodes; None where there are no cached ones."""
    found = []
    each_rows = max(1, ROWS_MAX // max(1, spec.feature_tokens) // len(train.episodes))
    for each in train.episodes:
        if each.features is not None and len(each.features):
            picks = np.unique(np.linspace(0, len(each.features) - 1, min(each_rows, len(each.features))).astype(int))
            tokens = np.concatenate([each.features.tokens(int(i)) for i in picks]).astype(np.float32)
            if not np.isfinite(tokens).all():
                raise ValueError(
                    f"expected finite features of episode '{each.episode.name}', got NaN or infinity: find them with "
                    "`cache verify`, remove the file that it names and run `cache build` again"
                )
            found.append(tokens)
    return np.concatenate(found) if found else None
