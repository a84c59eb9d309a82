"""Figures of one run, collected while it runs: action rate, intervals, ages, peak force."""

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class RunMetrics:
    """Collects the figures of one goal; times in seconds, force in newtons."""

    peak_force_n: float = math.nan
    final_force_n: float = math.nan
    rejected_chunks: int = 0
    _stamps_ns: list[int] = field(default_factory=list)
    _features_ages_s: list[float] = field(default_factory=list)
    _rejected_before: int | None = None

    def chunk(self, stamp_ns: int, features_stamp_ns: int) -> None:
        """Counts one chunk by its observation stamp and the stamp of the oldest image behind it (0: used no image)."""
        self._stamps_ns.append(stamp_ns)
        if features_stamp_ns:
            self._features_ages_s.append((stamp_ns - features_stamp_ns) * 1e-9)

    def force(self, force_n: float) -> None:
        """Takes one force sample; NaN is no sample."""
        if not math.isnan(force_n):
            self.final_force_n = force_n
            self.peak_force_n = force_n if math.isnan(self.peak_force_n) else max(self.peak_force_n, force_n)

    def arm(self, rejected_total: int) -> None:
        """Takes the arm's running count of rejected chunks."""
        if self._rejected_before is None:
            self._rejected_before = rejected_total
        self.rejected_chunks = rejected_total - self._rejected_before

    @property
    def chunks(self) -> int:
        """Chunks seen."""
        return len(self._stamps_ns)

    @property
    def action_rate_hz(self) -> float:
        """Chunks per second between the first and the last one, NaN when they span no time."""
        span_s = (self._stamps_ns[-1] - self._stamps_ns[0]) * 1e-9 if self._stamps_ns else 0.0
        return (self.chunks - 1) / span_s if span_s > 0.0 else math.nan

    @property
    def action_interval_p99_s(self) -> float:
        """99th percentile of the time between chunks, NaN with fewer than two."""
        return _p99(np.diff(self._stamps_ns) * 1e-9)

    @property
    def features_age_p99_s(self) -> float:
        """99th percentile of the features' age at the observation, NaN without chunks."""
        return _p99(np.asarray(self._features_ages_s))


def _p99(values: np.ndarray) -> float:
    return float(np.percentile(values, 99.0)) if values.size else math.nan
