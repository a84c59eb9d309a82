"""The files of a Qwen2.5-VL model: where they are, what they are worth (a hash of their content), how they are read."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from insertion_vla_policy.images import PatchSettings

NEEDED = ("config.json", "tokenizer.json")
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
BLOCK = 16 << 20


def model_folder(model: str, revision: str | None) -> Path:
    """Folder of a model's files: a local one, or the hub's copy of a pinned revision, fetched if it is not there.

    Raises:
        ValueError: no such folder, a hub id without a revision, or files that cannot be fetched or are missing.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _from_hub(model, revision)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not weight_files(folder):
        missing.append("*.safetensors")
    if missing:
        raise ValueError(
            f"expected a Qwen2.5-VL model in {folder}, it lacks {', '.join(missing)}: "
            "copy the whole model; weights in other formats than safetensors are not read"
        )
    return folder


def _from_hub(model: str, revision: str | None) -> Path:
    if model.count("/") != 1 or model.startswith(("/", ".", "~")):
        raise ValueError(f"expected the folder of a model or a hub id like Qwen/Qwen2.5-VL-3B-Instruct, got '{model}'")
    if not revision:
        raise ValueError(f"expected a revision (a commit) for the hub model {model}: set `revision`, so that it stays")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"expected {model} at {revision} on the hub or in its cache, got {type(error).__name__}: "
            "check the id and the network, or copy the model here and name its folder"
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """The weights, in order."""
    return sorted(folder.glob("*.safetensors"))


def adapter_files(folder: Path) -> list[Path]:
    """The files of a LoRA adapter; ValueError if one is missing."""
    files = [folder / name for name in ADAPTER]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(f"expected a LoRA adapter in {folder}, it lacks {', '.join(missing)}: copy the whole folder")
    return files


def content_hash(files: list[Path]) -> str:
    """Hash of names and contents (64 hex digits): SHA-256 over the SHA-256 of each 16 MiB block, on all cores.

    A file's size and time say little about what is in it, and reading the weights is what comes next anyway.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        for file in files:
            digest.update(f"{file.name} {file.stat().st_size}\n".encode())
            if file.stat().st_size:
                content = np.memmap(file, np.uint8, "r")
                blocks = (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
                for block in pool.map(lambda block: hashlib.sha256(block).digest(), blocks):
                    digest.update(block)
    return digest.hexdigest()


def patch_settings(folder: Path, min_pixels: int | None, max_pixels: int | None) -> PatchSettings:
    """How pictures are cut: preprocessor_config.json where it is there, and the two limits where they are given."""
    found: dict = {}
    file = folder / "preprocessor_config.json"
    if file.is_file():
        try:
            found = json.loads(file.read_text())
        except ValueError as error:
            raise ValueError(f"expected JSON in {file}, got {error}: copy it again") from error
    size = found.get("size") or {}
    usual = PatchSettings()
    return PatchSettings(
        min_pixels=min_pixels or found.get("min_pixels") or size.get("shortest_edge") or usual.min_pixels,
        max_pixels=max_pixels or found.get("max_pixels") or size.get("longest_edge") or usual.max_pixels,
        patch=found.get("patch_size", usual.patch),
        merge=found.get("merge_size", usual.merge),
        mean=tuple(found.get("image_mean", usual.mean)),
        std=tuple(found.get("image_std", usual.std)),
    )
