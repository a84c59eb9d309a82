"""What `analyze` leaves behind: analysis.json, pictures, index.html with the pictures in it, and the printed table."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from insertion_vla_training.analysis.metrics import METRICS, STATISTICS, Measured, Values, pooled, statistics
from insertion_vla_training.analysis.plots import draw_distributions, draw_timeline
from insertion_vla_training.analysis.targets import Targets, judge
from insertion_vla_training.inspection.check import Check
from insertion_vla_training.inspection.pages import environment
from insertion_vla_training.stores.episode_index import write_json

JSON, PAGE, DISTRIBUTIONS, TIMELINE = "analysis.json", "index.html", "distributions.png", "timeline.png"
TEMPLATE, VERSION = "analysis.html.j2", 1
EVENTS_SHOWN = 100


@dataclass(frozen=True, eq=False)
class Analysis:
    """All that is said of some logs.

    Attributes:
        logs: as they were measured.
        values, figures: of each metric over all logs.
        checks: a verdict per target.
    """

    logs: tuple[Measured, ...]
    values: dict[str, Values]
    figures: dict[str, dict[str, Any]]
    checks: tuple[Check, ...]

    @property
    def bad(self) -> list[Check]:
        """Targets that were missed."""
        return [check for check in self.checks if not check.ok]


def analyse(logs: Sequence[Measured], targets: Targets) -> Analysis:
    """Statistics and verdicts.

    Raises:
        ValueError: nothing was measured.
    """
    values = pooled(logs)
    if not values:
        raise ValueError("expected something to measure, found nothing: name recordings in which a policy acted")
    figures = {name: statistics(of) for name, of in values.items()}
    return Analysis(tuple(logs), values, figures, tuple(judge(figures, targets)))


def write_analysis(analysis: Analysis, targets: Targets, targets_file: Path, out: Path) -> None:
    """Write everything into a folder, which is made if it is not there."""
    out.mkdir(parents=True, exist_ok=True)
    events = [(log, event) for log in analysis.logs for event in log.events]
    write_json(
        out / JSON,
        {
            "version": VERSION,
            "ok": not analysis.bad,
            "logs": [{"name": log.name, "kind": log.kind, **log.facts} for log in analysis.logs],
            "targets": str(targets_file),
            "statistics": {
                name: {"words": METRICS[name].words, "unit": METRICS[name].unit, **figures}
                for name, figures in analysis.figures.items()
            },
            "checks": [check.model_dump(mode="json") for check in analysis.checks],
            "events": [{"log": log.name, **asdict(event)} for log, event in events],
        },
    )
    text = (
        environment()
        .get_template(TEMPLATE)
        .render(
            title=_title(analysis.logs),
            tiles=_tiles(analysis),
            bad=analysis.bad,
            judged=[check for check in analysis.checks if check.value is not None],
            checks=analysis.checks,
            pictures=_pictures(analysis, targets, out),
            statistics=STATISTICS,
            rows=[(METRICS[name], figures) for name, figures in analysis.figures.items()],
            events=events[:EVENTS_SHOWN],
            more=max(0, len(events) - EVENTS_SHOWN),
            logs=analysis.logs,
            targets=str(targets_file),
        )
    )
    (out / PAGE).write_text(text, encoding="utf-8")


def _pictures(analysis: Analysis, targets: Targets, out: Path) -> dict[str, str]:
    """By title, as addresses that hold the picture itself: the page is one file that can be sent."""
    pictures = {}
    if draw_distributions(analysis.values, targets.targets, out / DISTRIBUTIONS):
        pictures["How it is spread"] = _inline(out / DISTRIBUTIONS)
    # Of several bags the one with the most to look at.
    shown = max(analysis.logs, key=lambda log: (len(log.events), len(log.curves)))
    if draw_timeline(shown, targets.targets, out / TIMELINE):
        pictures[f"Over time: {shown.name}"] = _inline(out / TIMELINE)
    return pictures


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _title(logs: Sequence[Measured]) -> str:
    return logs[0].name if len(logs) == 1 else f"{logs[0].name} and {len(logs) - 1} more"


def _tiles(analysis: Analysis) -> dict[str, str]:
    wanted = {
        "action_time_ms": ("a chunk, p99", "p99", "ms"),
        "vlm_time_ms": ("features, p95", "p95", "ms"),
        "chunk_rate_hz": ("chunks, least rate", "min", "Hz"),
        "features_age_ms": ("age of features, p99", "p99", "ms"),
        "reuse": ("chunks per features", "mean", ""),
        "force_n": ("force, most", "max", "N"),
        "peak_force_n": ("peak force, most", "max", "N"),
    }
    return {
        words: f"{analysis.figures[name][entry]:.3g} {unit}".rstrip()
        for name, (words, entry, unit) in wanted.items()
        if name in analysis.figures
    }


def lines(analysis: Analysis) -> list[str]:
    """What the verb prints: the table, what happened, and the verdicts that are not good."""
    width = max(len(_named(name)) for name in analysis.figures)
    said = [f"{'':<{width}}{'count':>8}" + "".join(f"{entry:>10}" for entry in STATISTICS)]
    said += [f"{_named(name):<{width}}{_numbers(figures)}" for name, figures in analysis.figures.items()]
    events = [f"{log.name}: {event.sentence}" for log in analysis.logs for event in log.events]
    said += events[:EVENTS_SHOWN]
    if len(events) > EVENTS_SHOWN:
        said.append(f"and {len(events) - EVENTS_SHOWN} more of the kind")
    said += [f"NOT GOOD {check.sentence}" for check in analysis.bad]
    judged = [check for check in analysis.checks if check.value is not None]
    said.append(f"{len(judged) - len(analysis.bad)} of {len(judged)} targets are met")
    return said


def _named(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.words} [{metric.unit}]" if metric.unit else metric.words


def _numbers(figures: Mapping[str, Any]) -> str:
    return f"{figures['count']:>8}" + "".join(f"{figures[entry]:>10.4g}" for entry in STATISTICS)
