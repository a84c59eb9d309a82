"""The report of a comparison: comparison.json, .csv and .png, films, and index.html that shows them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from insertion_vla_policy.checkpoint_config import load_config
from insertion_vla_policy.registry import checkpoint_folder
from insertion_vla_sim.render import make_renderer

from insertion_vla_training.evaluation.episode import Result
from insertion_vla_training.evaluation.film import write_film
from insertion_vla_training.evaluation.pairs import bootstrap, mcnemar
from insertion_vla_training.evaluation.pool import trace_file
from insertion_vla_training.evaluation.summary import in_words, revisions, summarise
from insertion_vla_training.evaluation.trace import load_trace
from insertion_vla_training.evaluation.variants import AS_IS, SWEEPS, Variant
from insertion_vla_training.inspection.pages import environment
from insertion_vla_training.stores.episode_index import write_json

SUMMARY, TABLE, PLOT, PAGE = "comparison.json", "comparison.csv", "comparison.png", "index.html"
TEMPLATE = "comparison.html.j2"
FIGURES = ("_mm", "_deg", "_n", "_s", "_ms", "sparc")  # ends of the names that are columns of the table


@dataclass(frozen=True, eq=False)
class Played:
    """The episodes of one condition, all conditions on the same seeds."""

    variant: Variant
    results: list[Result]


def write_comparison(played: Sequence[Played], out: Path) -> dict[str, Any]:
    """Write everything into a folder; what comparison.json says."""
    from insertion_vla_training.evaluation.comparison_plot import draw_comparison  # matplotlib

    as_is = [each for each in played if each.variant.sweep == AS_IS]
    comparison = {
        "seeds": [played[0].results[0].seed, played[0].results[-1].seed],
        "randomisation": played[0].variant.settings.randomisation,
        "code": revisions(result for each in played for result in each.results),
        "rows": [_row(each) for each in played],
        "pairs": [_pair(a, b) for a, b in combinations(as_is, 2)],
        "training": {each.variant.policy: _training(each.variant.settings.policy) for each in as_is},
    }
    write_json(out / SUMMARY, comparison)
    (out / TABLE).write_text(_table(comparison["rows"]), encoding="utf-8")
    draw_comparison(comparison, out / PLOT)
    text = (
        environment()
        .get_template(TEMPLATE)
        .render(
            comparison=comparison,
            films=_films(as_is, out),
            plot=PLOT,
            in_words=in_words,
            sweeps={
                words: [row for row in comparison["rows"] if row["sweep"] == name]
                for name, words in {AS_IS: "as they are", **SWEEPS}.items()
                if any(row["sweep"] == name for row in comparison["rows"])
            },
        )
    )
    (out / PAGE).write_text(text, encoding="utf-8")
    return comparison


def _row(played: Played) -> dict[str, Any]:
    summary, variant = summarise(played.results), played.variant
    figures, times = summary["figures"], summary["times"]["inference_ms"] or {}

    def median(name: str) -> float | None:
        return figures[name]["median"] if figures[name] else None

    return {
        "policy": variant.policy,
        "sweep": variant.sweep,
        "value": variant.value,
        "success": summary["success"],
        "wrong_target": summary["wrong_target"],
        "failures": summary["failures"],
        "path_median_mm": median("path_median_mm"),
        "path_median_deg": median("path_median_deg"),
        "peak_force_n": median("peak_force_n"),
        "mean_force_n": median("mean_force_n"),
        "duration_s": median("duration_s"),
        "diversity_mm": median("diversity_mm"),
        "gap_mm": median("gap_mm"),
        "sparc": median("sparc"),
        "inference_p50_ms": times.get("p50"),
        "inference_p95_ms": times.get("p95"),
        "inference_p99_ms": times.get("p99"),
    }


def _pair(first: Played, second: Played) -> dict[str, Any]:
    one, two = ([result.success for result in each.results] for each in (first, second))
    test, (mean, low, high) = mcnemar(one, two), bootstrap(one, two)
    paths = bootstrap(*([result.path_median_mm for result in each.results] for each in (first, second)))
    return {
        "first": first.variant.policy,
        "second": second.variant.policy,
        "difference": 100 * mean,
        "low": 100 * low,
        "high": 100 * high,
        "only_first": test.only_first,
        "only_second": test.only_second,
        "p_value": test.p_value,
        "path_difference_mm": dict(zip(("mean", "low", "high"), paths, strict=True)),
    }


def _training(policy: str) -> dict[str, Any]:
    """What the checkpoint says of its training; nothing for a policy that was not trained."""
    folder = checkpoint_folder(policy)
    return dict(load_config(folder).training) if folder else {}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    flat = []
    for row in rows:
        success, wrong = row["success"], row["wrong_target"]
        flat.append(
            {
                **{name: row[name] for name in ("policy", "sweep", "value")},
                "episodes": success["of"],
                "successes": success["count"],
                **{f"success_{name}": success[name] for name in ("share", "low", "high")},
                "wrong_targets": wrong["count"],
                **{name: value for name, value in row.items() if name.endswith(FIGURES)},
            }
        )
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _films(as_is: Sequence[Played], out: Path) -> dict[str, str]:
    """Of every policy the first success and the first failure: title and file."""
    films, renderer = {}, make_renderer(backend="rays")
    for each in as_is:
        for success in (True, False):
            shown = next((result for result in each.results if result.success is success), None)
            if shown is None:
                continue
            name = f"{each.variant.folder}_{shown.seed}.gif"
            if not (out / name).exists():
                trace = load_trace(trace_file(out / each.variant.folder, shown.seed))
                write_film(trace, shown, renderer, out / name)
            films[f"{each.variant.policy}: seed {shown.seed}, {shown.outcome}"] = name
    renderer.close()
    return films
