"""The table at the end of a run."""

import math
from collections.abc import Sequence

from insertion_vla_interfaces.action import RunInsertion


def result_rows(result: RunInsertion.Result) -> list[tuple[str, str]]:
    """What the task says about a run."""
    interval_ms = result.action_interval_p99 * 1e3
    return [
        ("outcome", f"{'SUCCEEDED' if result.success else 'FAILED'}: {result.reason}"),
        ("duration", _number(result.duration, "s", 1)),
        ("depth", _number(result.depth * 1e3, "mm", 2)),
        ("force", f"{_number(result.final_force, 'N', 2)} at the end, {_number(result.peak_force, 'N', 2)} peak"),
        ("actions", f"{_number(result.action_rate, 'Hz', 2)}, interval p99 {_number(interval_ms, 'ms', 0)}"),
        ("features", f"age p99 {_number(result.features_age_p99, 's', 2)}"),
        ("chunks", f"{result.chunks}, of which {result.rejected_chunks} rejected"),
    ]


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Rows of two columns below a title."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows)])


def _number(value: float, unit: str, digits: int) -> str:
    return f"{value:.{digits}f} {unit}" if math.isfinite(value) else "none"
