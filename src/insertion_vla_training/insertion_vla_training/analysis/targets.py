"""Targets of a run: a YAML file with bounds for statistics, and what counts as a gap or as the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from insertion_vla_core.strict_yaml import StrictModel, load_strict
from pydantic import Field, create_model, model_validator

from insertion_vla_training.analysis.metrics import METRICS, STATISTICS
from insertion_vla_training.inspection.check import Check, judged, not_judged, quantity

FILE = "targets.yaml"


class Bound(StrictModel):
    """The smallest and the largest value that are good; one of them may be left out."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _a_range(self) -> Bound:
        if self.at_least is None and self.at_most is None:
            raise ValueError("expected at_least, at_most or both, got neither; say what is good")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"expected at_least below at_most, got {self.at_least:g} and {self.at_most:g}")
        return self


class Detect(StrictModel):
    """What counts as a gap, and what as the same.

    Attributes:
        chunk_gap_ms: a longer time between chunks of one goal is a gap.
        features_gap_ms: the same for features of one instruction.
        same_after: so many equal chunks or feature sets in a row are reported,
        moved_mm: if the tool has moved so far meanwhile.
        same_m: chunks are equal where no number differs by more [m, rad].
        same_features: feature sets are equal where no number differs by more, as a share of the largest.
    """

    chunk_gap_ms: float = Field(gt=0.0)
    features_gap_ms: float = Field(gt=0.0)
    same_after: int = Field(ge=2)
    moved_mm: float = Field(gt=0.0)
    same_m: float = Field(ge=0.0)
    same_features: float = Field(ge=0.0)


def _model(name: str, fields: tuple[str, ...], kind: Any) -> Any:
    """A strict model of optional entries."""
    return create_model(name, __base__=StrictModel, **{entry: (kind | None, None) for entry in fields})


Statistics = _model("Statistics", STATISTICS, Bound)
MetricTargets = _model("MetricTargets", tuple(METRICS), Statistics)


class Targets(StrictModel):
    """The file."""

    version: Literal[1]
    detect: Detect
    targets: MetricTargets


def load_targets(path: Path) -> Targets:
    """Read a file of targets.

    Raises:
        ValueError: entries that are not known or wrong; all are named.
    """
    return load_strict(path, Targets, "targets of a run")


def judge(figures: Mapping[str, Mapping[str, Any]], targets: Targets) -> list[Check]:
    """A verdict for each target; one on something that was not measured is no fault, and says so."""
    checks = []
    for name, metric in METRICS.items():
        wanted = getattr(targets.targets, name)
        for statistic in STATISTICS:
            bound = getattr(wanted, statistic) if wanted else None
            if bound is None:
                continue
            if name not in figures:
                checks.append(not_judged(name, statistic, f"{metric.words}: not measured here"))
                continue
            value = figures[name][statistic]
            checks.append(
                judged(
                    name, statistic, value, (bound.at_least, bound.at_most), metric.unit,
                    f"{metric.words}: {statistic} is {quantity(value, metric.unit)}", metric.remedy,
                )
            )  # fmt: skip
    return checks
