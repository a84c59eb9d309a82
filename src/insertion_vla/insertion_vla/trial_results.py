"""Results of trials: one JSON line per seed, and the success rate with its Wilson interval."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Trial:
    """One insertion: what the task reported and what the simulation says is true."""

    policy: str
    seed: int
    target: str
    task_success: bool
    truth_success: bool
    reason: str
    duration_s: float
    peak_force_n: float
    lateral_mm: float
    overshoot_mm: float
    action_rate_hz: float | None  # None: too few chunks to tell
    action_interval_p99_s: float | None
    features_age_p99_s: float | None

    @property
    def success(self) -> bool:
        """The needle is in and the task knows it."""
        return self.task_success and self.truth_success


def wilson(successes: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of a success rate (E. B. Wilson, 1927); (0, 1) without trials."""
    if count == 0:
        return 0.0, 1.0
    rate, square = successes / count, z * z
    centre = (rate + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * math.sqrt(rate * (1 - rate) / count + square / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def load(path: Path, policy: str) -> dict[int, Trial]:
    """Trials of an earlier run of the same policy, by seed; a last line that was cut off is dropped.

    Raises:
        ValueError: the file holds something else.
    """
    trials: dict[int, Trial] = {}
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            trial = Trial(**json.loads(line))
        except (ValueError, TypeError):
            if number == len(lines):
                break
            raise ValueError(
                f"expected one trial per line in {path}, line {number} is none: name another file"
            ) from None
        if trial.policy != policy:
            raise ValueError(
                f"expected trials of '{policy}' in {path}, got some of '{trial.policy}': name another file"
            )
        trials[trial.seed] = trial
    return trials


def append(path: Path, trial: Trial) -> None:
    """Adds one trial; the file is whole after every call."""
    text = path.read_text() if path.exists() else ""
    if text and not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1])  # a line that was cut off
    with path.open("a") as file:
        file.write(json.dumps(asdict(trial)) + "\n")


def report(trials: Sequence[Trial]) -> str:
    """A table of every trial and the rate below it."""
    head = f"{'seed':>6}  {'target':<6} {'truth':<6} {'task':<6} {'time':>7} {'force':>7} {'lateral':>8} "
    head += f"{'past':>8}  reason"
    lines = [head]
    for t in trials:
        lines.append(
            f"{t.seed:>6}  {t.target:<6} {_word(t.truth_success):<6} {_word(t.task_success):<6} {t.duration_s:>5.1f} s "
            f"{t.peak_force_n:>5.2f} N {t.lateral_mm:>5.2f} mm {t.overshoot_mm:>+5.2f} mm  {t.reason}"
        )
    good = sum(t.success for t in trials)
    low, high = wilson(good, len(trials))
    false = sum(t.task_success and not t.truth_success for t in trials)
    lines.append(
        f"success {good}/{len(trials)} = {good / max(1, len(trials)):.0%}, 95 % interval {low:.0%} .. {high:.0%}; "
        f"the task claimed {false} that were not true"
    )
    return "\n".join(lines)


def _word(success: bool) -> str:
    return "in" if success else "-"
