"""The report of an evaluation: summary.json, episodes.csv, evaluation.png, films, and index.html that shows them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from insertion_vla_sim.render import make_renderer

from insertion_vla_training.evaluation.episode import Result
from insertion_vla_training.evaluation.film import write_film
from insertion_vla_training.evaluation.pool import trace_file
from insertion_vla_training.evaluation.settings import FIRST_SEED
from insertion_vla_training.evaluation.summary import FIGURES, TIMES, in_words, summarise
from insertion_vla_training.evaluation.trace import load_trace
from insertion_vla_training.inspection.pages import environment
from insertion_vla_training.stores.episode_index import write_json

SUMMARY, TABLE, PLOT, PAGE = "summary.json", "episodes.csv", "evaluation.png", "index.html"
TEMPLATE = "evaluation.html.j2"
LISTS = ("inference_ms", "features_ms")


def write_report(
    results: Sequence[Result], settings: Mapping[str, Any], out: Path, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write everything into a folder; the summary.

    Args:
        results: of the episodes, at least one.
        settings: as `Settings.identity` gives them.
        out: folder of the evaluation, where the traces are.
        more: what else goes into the summary.
    """
    from insertion_vla_training.evaluation.plots import draw_evaluation  # matplotlib is for the parent alone

    results = sorted(results, key=lambda result: result.seed)
    summary = {"settings": dict(settings), **summarise(results), **(more or {})}
    write_json(out / SUMMARY, summary)
    (out / TABLE).write_text(table(results), encoding="utf-8")
    draw_evaluation(results, summary, out / PLOT)
    text = (
        environment()
        .get_template(TEMPLATE)
        .render(
            policy=settings["policy"],
            tiles=_tiles(summary),
            seen=seen_by_training(settings, results),
            films=_films(results, out),
            plot=PLOT,
            success=in_words(summary["success"]),
            failures=summary["failures"],
            figures={
                words: (summary["figures"][name], summary["of_successes"][name]) for name, words in FIGURES.items()
            },
            times={words: summary["times"][name] for name, words in TIMES.items()},
            results=sorted(results, key=lambda result: result.success),
            settings=settings,
            code=summary["code"],
        )
    )
    (out / PAGE).write_text(text, encoding="utf-8")
    return summary


def table(results: Sequence[Result]) -> str:
    """Results as CSV, an episode a row; nothing stands where nothing was measured."""
    text = io.StringIO()
    rows = [{k: v for k, v in result.as_dict().items() if k not in LISTS} for result in results]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def seen_by_training(settings: Mapping[str, Any], results: Sequence[Result]) -> bool:
    """Whether training may have had these scenes or this noise."""
    return settings["randomisation"] == "train" or any(result.seed < FIRST_SEED for result in results)


def _films(results: Sequence[Result], out: Path) -> dict[str, str]:
    """Of the first success and the first failure: title and file."""
    films, renderer = {}, make_renderer(backend="rays")
    for title, success in (("A success", True), ("A failure", False)):
        shown = next((result for result in results if result.success is success), None)
        if shown is None:
            continue
        name = f"{'success' if success else 'failure'}_{shown.seed:06d}.gif"
        if not (out / name).exists():
            for old in out.glob(f"{name.split('_')[0]}_*.gif"):
                old.unlink()
            write_film(load_trace(trace_file(out, shown.seed)), shown, renderer, out / name)
        films[f"{title}: seed {shown.seed}, {shown.colour}, {shown.duration_s:.1f} s, {shown.outcome}"] = name
    renderer.close()
    return films


def _tiles(summary: Mapping[str, Any]) -> dict[str, str]:
    figures, success, wrong = summary["figures"], summary["success"], summary["wrong_target"]
    return {
        f"success, {100 * success['low']:.0f} to {100 * success['high']:.0f} %": f"{100 * success['share']:.1f} %",
        "wrong target": f"{100 * wrong['share']:.1f} %",
        "episodes": str(summary["episodes"]),
        "path error (median)": f"{figures['path_median_mm']['median']:.2f} mm",
        "peak force (most)": f"{figures['peak_force_n']['max']:.2f} N",
        "duration (median)": f"{figures['duration_s']['median']:.1f} s",
    }
