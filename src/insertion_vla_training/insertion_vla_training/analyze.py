"""`analyze`: how a run went in time: statistics of what policy and features took, rates, ages, gaps and repetitions.

Takes bags (folders of bags too), the folder of an evaluation, and logs of trials (.jsonl), holds them against the
targets of a YAML file and writes OUT/index.html, analysis.json and the pictures. See config/targets.yaml.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from insertion_vla_sim.config import find_config

from insertion_vla_training.analysis.sources import find_sources, measure_source
from insertion_vla_training.analysis.targets import FILE, load_targets
from insertion_vla_training.cli.progress import progress_over
from insertion_vla_training.cli.verb import Parser, run_verb

EXIT_BAD = 1


def _work(given: argparse.Namespace) -> int:
    from insertion_vla_training.analysis.report import PAGE, analyse, lines, write_analysis  # matplotlib is slow

    targets_file = given.targets or find_config() / FILE
    targets = load_targets(targets_file)
    sources = find_sources(given.logs)
    logs = [
        measured
        for source in progress_over(sources, "analyze", unit="log")
        for measured in measure_source(source, targets.detect)
    ]
    analysis = analyse(logs, targets)
    write_analysis(analysis, targets, targets_file, given.out)
    print("\n".join(lines(analysis)))
    print(f"the report is in {given.out / PAGE}")
    return EXIT_BAD if given.strict and analysis.bad else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the verb."""
    parser = Parser("analyze", "Statistics of a run's timing, held against targets.")
    parser.add_argument(
        "logs", nargs="+", type=Path, help="bags, folders of bags, folders of evaluations, logs of trials (.jsonl)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report; made if there is none")
    parser.add_argument("--targets", type=Path, help="what is expected (config/targets.yaml of the workspace)")
    parser.add_argument("--strict", action="store_true", help="exit with code 1 when a target is missed")
    return run_verb(parser, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
