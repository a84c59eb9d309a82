"""recover: make bags whole again whose recorder was killed, whose machine lost power, or whose disk ran full."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from insertion_vla_core.episode_metadata import from_custom_data

from insertion_vla_training.bags.recovery import Recovery
from insertion_vla_training.bags.recovery import recover as recover_bag
from insertion_vla_training.cli.verb import EXIT_REFUSED, Parser, run_verb

NS_PER_S = 1_000_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser("recover", "Makes bags whole again that were cut off; what is damaged is kept beside.")
    parser.add_argument("bags", nargs="+", type=Path, help="folders of bags")
    return run_verb(parser, _recover_all, arguments)


def _recover_all(given: argparse.Namespace) -> int:
    """Every bag gets its line; one that cannot be saved does not stop the others."""
    failed = 0
    for folder in given.bags:
        try:
            lines = report(folder, recover_bag(folder))
        except (ValueError, OSError) as error:
            failed += 1
            print(f"recover: {folder}: {error}", file=sys.stderr, flush=True)
            continue
        print("\n".join(lines), flush=True)
    return EXIT_REFUSED if failed else 0


def report(folder: Path, result: Recovery) -> list[str]:
    """What was saved and what was lost, for people."""
    metadata = result.metadata
    duration_s = (metadata.last_ns - metadata.first_ns) / NS_PER_S
    content = f"{metadata.count} messages of {len(metadata.topics)} topics over {duration_s:.1f} s"
    damaged = [salvaged for salvaged in result.files if not salvaged.whole]
    if not damaged:
        return [f"{folder}: whole, {'metadata.yaml made anew, ' * result.metadata_written}{content}"]
    lines = [f"{folder}: saved {content}"]
    for salvaged, kept in zip(damaged, result.kept, strict=True):
        lost = f"lost {salvaged.lost_bytes} bytes" if salvaged.lost_bytes else "lost no message"
        chunks = f", {salvaged.lost_chunks} damaged chunks" if salvaged.lost_chunks else ""
        cut = f", {salvaged.from_torn_chunk} messages saved from a torn chunk" if salvaged.from_torn_chunk else ""
        lines.append(f"  {salvaged.path.name}: {lost}{chunks}{cut}: {'; '.join(salvaged.damage)}")
        lines.append(f"  the damaged file is kept as {kept}")
    try:
        from_custom_data(metadata.custom_data, str(folder))
    except ValueError as error:
        lines.append(f"  what the episode says of itself is lost: {error}")
    return lines
