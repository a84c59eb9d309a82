"""MODEL_CARD.md of a checkpoint: for people, and the sizes and hashes that its files must have."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from insertion_vla_policy.checkpoint_config import CheckpointConfig
from insertion_vla_policy.model_config import VlaConfig

CARD = "MODEL_CARD.md"
_ROW = re.compile(r"^\| `([^`|]+)` \| (\d+) \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def write_card(folder: Path, config: CheckpointConfig, name: str, notes: str) -> None:
    """Write the card of the files that are in a folder."""
    model = config.model
    lines = [f"# {name}", "", f"A `{model.expert}` policy of insertion_vla, size `{model.decoder.size}`."]
    if isinstance(model, VlaConfig):
        eyes = f"features of `{config.backbone.model_id}`" if config.backbone else "no features"
        lines.append(f"Inputs: robot state, force (fusion `{model.fusion}`), {eyes}; see contract.yaml.")
    lines += [
        "Weights `ema.*`, if there are any, are the running average, which inference uses; `model.*` are as trained.",
        "",
    ]
    if notes:
        lines += [notes.strip(), ""]
    if config.training:
        lines += ["## Training", "", "| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in config.training.items()), ""]
    lines += ["## Files", "", "Checked when the folder is loaded.", "", "| file | bytes | sha256 |", "|---|---|---|"]
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD):
        lines.append(f"| `{path.relative_to(folder).as_posix()}` | {path.stat().st_size} | `{file_hash(path)}` |")
    (folder / CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_card(folder: Path) -> dict[str, str]:
    """SHA-256 by file name, as the card says and the files have.

    Raises:
        ValueError: a file is missing, or has another size or content than the card says.
    """
    rows = {name: (int(size), digest) for name, size, digest in _ROW.findall((folder / CARD).read_text("utf-8"))}
    for name in ("config.yaml", "model.safetensors", "normalizer.safetensors"):
        if name not in rows:
            raise ValueError(
                f"expected size and hash of {name} in {folder / CARD}, not there: copy the whole folder again"
            )
    for name, (size, digest) in rows.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"expected {name} in {folder}, not there: copy the whole checkpoint folder")
        if path.stat().st_size != size:
            raise ValueError(
                f"expected {size} bytes in {path} as {CARD} says, got {path.stat().st_size}: the file is truncated or "
                "of another checkpoint, copy the whole folder again"
            )
        if file_hash(path) != digest:
            raise ValueError(
                f"expected the content of {path} that {CARD} says, got another: the file was changed, or is of another "
                "checkpoint; copy the whole folder again"
            )
    return {name: digest for name, (_, digest) in rows.items()}


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
