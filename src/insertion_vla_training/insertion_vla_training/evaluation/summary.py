"""The figures over the episodes of an evaluation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from insertion_vla_training.evaluation.episode import Result
from insertion_vla_training.evaluation.outcome import FAILURES, SUCCESS, WRONG_TARGET

Z_95 = 1.959963984540054

# Name of a figure over episodes: what it is, as people read it.
FIGURES = {
    "path_median_mm": "path error, median of an episode [mm]",
    "path_p95_mm": "path error, 95th percentile of an episode [mm]",
    "path_median_deg": "angle to the expert's needle, median [deg]",
    "path_p95_deg": "angle to the expert's needle, 95th percentile [deg]",
    "peak_force_n": "peak force [N]",
    "mean_force_n": "mean force in contact [N]",
    "duration_s": "duration [s]",
    "sparc": "smoothness (spectral arc length, 0 is smoothest)",
    "expert_sparc": "smoothness of the expert",
    "gap_mm": "from chunk to chunk [mm]",
    "diversity_mm": "spread of samples [mm]",
}
TIMES = {"inference_ms": "a chunk [ms]", "features_ms": "features of the images [ms]"}


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a share (95 % by default).

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"expected successes from 0 to the number of trials, got {successes} of {trials}")
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2.0) / (1.0 + spread)
    half = z / (1.0 + spread) * math.sqrt(share * (1.0 - share) / trials + spread / (4.0 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def rate(count: int, of: int) -> dict[str, Any]:
    """A share with its interval."""
    low, high = wilson(count, of)
    return {"count": count, "of": of, "share": round(count / of, 6), "low": round(low, 6), "high": round(high, 6)}


def summarise(results: Sequence[Result]) -> dict[str, Any]:
    """All figures of an evaluation, ready for JSON.

    Raises:
        ValueError: there are no results.
    """
    if not results:
        raise ValueError("expected results of at least one episode, got none: play some first")
    counts = Counter(result.outcome for result in results)
    colours = sorted({result.colour for result in results})
    return {
        "episodes": len(results),
        "seeds": [min(r.seed for r in results), max(r.seed for r in results)],
        "success": rate(counts[SUCCESS], len(results)),
        "success_by_colour": {
            colour: rate(*_won(result for result in results if result.colour == colour)) for colour in colours
        },
        "wrong_target": rate(counts[WRONG_TARGET], len(results)),
        "failures": {name: counts[name] for name in FAILURES if counts[name]},
        "figures": {name: spread(_known(results, name)) for name in FIGURES},
        "of_successes": {name: spread(_known([r for r in results if r.success], name)) for name in FIGURES},
        "times": {name: times(results, name) for name in TIMES},
        "chunks_rejected": sum(result.rejected for result in results),
        "simulated_s": round(sum(result.duration_s for result in results), 3),
        "code": revisions(results),
    }


def revisions(results: Iterable[Result]) -> list[str]:
    """Revisions of the code that played the episodes, shortened; several where a run went on after a change."""
    found = sorted({result.revision for result in results})
    return [revision[:12] + ("-dirty" if revision.endswith("-dirty") else "") or "unknown" for revision in found]


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """How values are spread over episodes; None without any."""
    if not len(values):
        return None
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    found = {"mean": np.mean(values), "p5": low, "median": median, "p95": high, "max": np.max(values)}
    return {"episodes": len(values), **{name: round(float(value), 6) for name, value in found.items()}}


def times(results: Sequence[Result], name: str) -> dict[str, float] | None:
    """Percentiles over the calls of all episodes [ms]; None without calls."""
    calls = np.array([value for result in results for value in getattr(result, name)])
    if not len(calls):
        return None
    p50, p95, p99 = np.quantile(calls, [0.5, 0.95, 0.99])
    found = {"p50": p50, "p95": p95, "p99": p99, "max": calls.max()}
    return {"calls": len(calls), **{key: round(float(value), 3) for key, value in found.items()}}


def _won(results: Iterable[Result]) -> tuple[int, int]:
    won = [result.success for result in results]
    return sum(won), len(won)


def _known(results: Sequence[Result], name: str) -> list[float]:
    return [value for result in results if (value := getattr(result, name)) is not None]


def lines(summary: dict[str, Any]) -> list[str]:
    """What the verb prints."""
    success, wrong = summary["success"], summary["wrong_target"]
    said = [f"success {in_words(success)}", f"wrong target {in_words(wrong)}"]
    if summary["failures"]:
        said.append("failed: " + ", ".join(f"{name} {count}" for name, count in summary["failures"].items()))
    for name, words in FIGURES.items():
        if found := summary["figures"][name]:
            said.append(
                f"{words}: median {found['median']:.3g}, 95 % below {found['p95']:.3g}, most {found['max']:.3g}"
            )
    for name, words in TIMES.items():
        if found := summary["times"][name]:
            said.append(f"{words}: p50 {found['p50']:.3g}, p95 {found['p95']:.3g}, p99 {found['p99']:.3g}")
    return said


def in_words(share: dict[str, Any]) -> str:
    """7 of 10: 70.0 % (39.7 to 89.2 %)."""
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{share['count']} of {share['of']}: {100 * share['share']:.1f} % ({low:.1f} to {high:.1f} %)"
