"""Bags among the paths of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from insertion_vla_training.bags.metadata import FILE_NAME


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Every bag among the paths and in the folders that hold bags, each once, by name within a folder.

    Folders that lack metadata.yaml or MCAP files count as bags if they have the other one: reading them says what is
    wrong. Hidden folders are recordings that were not finished, and are left out.

    Raises:
        ValueError: a path is not there, or a folder holds no bag.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for bag in _below(path):
            found.setdefault(bag.resolve(), bag)
    return list(found.values())


def _below(path: Path) -> list[Path]:
    if not path.exists():
        raise ValueError(f"expected a bag or a folder of bags, there is no {path}")
    if is_bag(path):
        return [path]
    bags = [child for child in sorted(path.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    bags = [child for child in bags if is_bag(child)]
    if not bags:
        raise ValueError(f"expected a bag or a folder of bags, got {path}, which holds none; record some first")
    return bags


def is_bag(path: Path) -> bool:
    """Whether it is, or was meant to be, a bag."""
    if not path.is_dir():
        return True
    return (path / FILE_NAME).exists() or any(path.glob("*.mcap"))
