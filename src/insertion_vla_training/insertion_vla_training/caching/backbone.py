"""The backbone that a cache is computed with: a registered one by its name, or a learned one by its folder."""

from __future__ import annotations

import os
from pathlib import Path

from insertion_vla_core.contract import Contract
from insertion_vla_policy.backbones.folder import load_backbone_folder
from insertion_vla_policy.protocol import Backbone
from insertion_vla_policy.registry import load_backbone


def make_backbone(name: str, calibration: Path, device: str | None = None) -> Backbone:
    """Loads a backbone.

    Args:
        name: of a policy, or a folder with a backbone's config.yaml.
        calibration: of the cameras, for those that want it.
        device: of a learned one, by default what its settings say; "cuda" is this torchrun process's own.

    Raises:
        ValueError: there is none of that name, or its files cannot be used.
    """
    if not Path(name).expanduser().is_dir():
        return load_backbone(name, calibration)
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    return load_backbone_folder(name, device)


def views_of(backbone: Backbone, contract: Contract) -> tuple[str, ...]:
    """The views that a backbone was made for, in its order; without any those of the contract."""
    settings = getattr(backbone, "settings", None)
    views = tuple(getattr(settings, "views", ()))
    return views or tuple(image.name for image in contract.images)


def details_of(backbone: Backbone) -> dict[str, str]:
    """A learned backbone's settings, for people: the model's hash is over all of them that change its features."""
    settings = getattr(backbone, "settings", None)
    return {name: str(value) for name, value in settings.model_dump().items()} if settings is not None else {}
