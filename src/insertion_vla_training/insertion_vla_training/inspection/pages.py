"""The pages of a report: one for every episode, and an index. Plain HTML that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from insertion_vla_core.episode_metadata import EpisodeMetadata
from jinja2 import Environment, PackageLoader, StrictUndefined

from insertion_vla_training.inspection.actions import JUMPS
from insertion_vla_training.inspection.bounds import Bounds
from insertion_vla_training.inspection.check import Check, quantity
from insertion_vla_training.inspection.dataset import KEYS, counts_by
from insertion_vla_training.inspection.measured import Measured
from insertion_vla_training.inspection.pictures import THUMBNAIL
from insertion_vla_training.stores.episode_index import TRAIN, Episode
from insertion_vla_training.stores.store import Store

PAGE, INDEX = "report.html", "index.html"


@dataclass(frozen=True, eq=False)
class Inspected:
    """One episode, and all that is said of it.

    Attributes:
        folder: of its report.
        checks: all of them.
    """

    episode: Episode
    folder: Path
    measured: Measured
    checks: tuple[Check, ...]

    @property
    def bad(self) -> list[Check]:
        """Those that are not good."""
        return [check for check in self.checks if not check.ok]


def environment() -> Environment:
    """Jinja2 with the templates of reports; everything is escaped, and a name that is missing is an error."""
    made = Environment(
        loader=PackageLoader("insertion_vla_training.inspection", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["quantity"] = quantity
    made.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    return made


def write_pages(
    store: Store, report: Path, inspected: Sequence[Inspected], dataset: Sequence[Check], bounds: Bounds
) -> None:
    """Write the index and the page of every episode."""
    pages = environment()
    episode_page, index = pages.get_template("episode.html.j2"), pages.get_template("index.html.j2")
    for number, one in enumerate(inspected):
        text = episode_page.render(
            episode=one.episode,
            checks=one.checks,
            bad=one.bad,
            pictures={title: file for title, file in one.measured.pictures.items() if title != THUMBNAIL},
            facts=_facts(one.episode, store.metadata(one.episode)),
            before=_link(inspected[number - 1]) if number else None,
            after=_link(inspected[number + 1]) if number + 1 < len(inspected) else None,
        )
        _write(one.folder / PAGE, text)
    episodes = [one.episode for one in inspected]
    text = index.render(
        store_name=store.path.absolute().name,
        store_path=str(store.path.absolute()),
        contract=store.contract.name,
        tiles=_tiles(inspected),
        checks=dataset,
        bad=[check for check in dataset if not check.ok],
        rows=[_row(report, one) for one in sorted(inspected, key=lambda one: not one.bad)],
        balance={name: counts_by(key, episodes) for name, key in KEYS.items()},
        bounds=_bounds(bounds),
    )
    _write(report / INDEX, text)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _link(one: Inspected) -> tuple[str, str]:
    """Name and address of another episode's page."""
    return one.episode.name, f"../{quote(one.folder.name)}/{PAGE}"


def _row(report: Path, one: Inspected) -> dict[str, Any]:
    place = quote(one.folder.relative_to(report).as_posix())
    thumbnail = one.measured.pictures.get(THUMBNAIL)
    words = [f"{check.name.replace('_', ' ')} {check.subject}".rstrip() for check in one.bad]
    return {
        "episode": one.episode,
        "page": f"{place}/{PAGE}",
        "thumbnail": f"{place}/{thumbnail}" if thumbnail else "",
        "bad": words,
    }


def _tiles(inspected: Sequence[Inspected]) -> dict[str, str]:
    total_s = sum(one.episode.duration_s for one in inspected)
    train = sum(one.episode.split == TRAIN for one in inspected)
    success = sum(one.episode.outcome == "success" for one in inspected)
    return {
        "episodes": str(len(inspected)),
        "of them not good": str(sum(bool(one.bad) for one in inspected)),
        "recorded": f"{total_s / 60:.1f} min" if total_s < 7200 else f"{total_s / 3600:.1f} h",
        "train / val": f"{train} / {len(inspected) - train}",
        "successful": f"{success / max(1, len(inspected)):.0%}",
    }


def _facts(episode: Episode, metadata: EpisodeMetadata) -> dict[str, str]:
    began = datetime.fromtimestamp(episode.start_ns / 1e9, timezone.utc)
    rows = ", ".join(f"{path} {count}" for path, count in episode.counts.items() if count)
    return {
        "bag": episode.bag,
        "recorded": f"{began:%Y-%m-%d %H:%M:%S} UTC",
        "notes": episode.notes or "–",
        "workspace": metadata.git_revision or "–",
        "checkpoint": metadata.checkpoint_hash or "–",
        "rows": rows,
    }


def _bounds(bounds: Bounds) -> Mapping[str, str]:
    """In words, for the index."""
    found = {f"sharpness of {view}": f"at least {least:.3g}" for view, least in bounds.sharpness.items()}
    for name, most in bounds.jumps.items():
        unit, does, where = JUMPS[name]
        found[f"the command {does} {where}"] = f"at most {quantity(most, unit)}"
    for outcome, (shortest, longest) in sorted(bounds.durations.items()):
        found[f"length of episodes that end in {outcome}"] = f"{shortest:.1f} to {longest:.1f} s"
    if bounds.missing_alines is not None:
        found["force samples without an A-line"] = f"at most {quantity(bounds.missing_alines, 'share')}"
    found["features"] = "in every episode" if bounds.features else "not recorded"
    return found
