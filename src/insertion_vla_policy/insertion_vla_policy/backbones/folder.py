"""A learned backbone from its folder: config.yaml says which one it is, and its paths start at the folder."""

from pathlib import Path
from typing import Any

import yaml
from insertion_vla_core.strict_yaml import load_strict

from insertion_vla_policy.protocol import Backbone

SETTINGS_FILE = "config.yaml"


def load_backbone_folder(folder: str | Path, device: str | None = None) -> Backbone:
    """Loads `tiny_vl` or `qwen2.5-vl`, whichever the folder's config.yaml names in `backbone`.

    Args:
        folder: of a tiny_vl model, or with the settings of a qwen2.5-vl (`QwenSettings`), beside them maybe its model
            or its adapter.
        device: other than the settings say, for example "cpu".

    Raises:
        ValueError: no such folder, no backbone of that name, or files that cannot be used.
    """
    folder = Path(folder).expanduser()
    name = _name(folder / SETTINGS_FILE)
    if name == "tiny_vl":
        from insertion_vla_policy.backbones.tiny_vl import load_tiny_vl

        return load_tiny_vl(folder, device or "cpu")
    if name == "qwen2.5-vl":
        from insertion_vla_policy.backbones.qwen_load import load_qwen
        from insertion_vla_policy.backbones.qwen_settings import QwenSettings

        settings = load_strict(folder / SETTINGS_FILE, QwenSettings, "a backbone qwen2.5-vl")
        changes = {"device": device} if device else {}
        for key, path in (("model", settings.model), ("adapter", settings.adapter)):
            if path and (folder / path).is_dir():
                changes[key] = str(folder / path)
        return load_qwen(settings.model_copy(update=changes))
    raise ValueError(f"expected backbone tiny_vl or qwen2.5-vl in {folder / SETTINGS_FILE}, got {name!r}: correct it")


def _name(file: Path) -> Any:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"expected a backbone's settings in {file}, could not read them: {error}") from error
    return content.get("backbone") if isinstance(content, dict) else None
