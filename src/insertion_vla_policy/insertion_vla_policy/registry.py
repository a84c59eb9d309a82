"""Policies by name. Each half is imported only when it is asked for, so that a process loads what it runs."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from insertion_vla_policy.protocol import Backbone, Expert

# name -> ("module:class" of the backbone, "module:class" of the expert); both are built from the calibration file.
_POLICIES: dict[str, tuple[str, str]] = {
    "visual_servo": (
        "insertion_vla_policy.backbones.color_keypoints:ColorKeypoints",
        "insertion_vla_policy.experts.visual_servo:VisualServo",
    ),
}


def policy_names() -> list[str]:
    """Names that `load_policy` knows."""
    return sorted(_POLICIES)


def load_backbone(name: str, calibration: str | Path) -> Backbone:
    """Builds the backbone of a policy; raises ValueError with a sentence when the name is unknown."""
    return _factory(_known(name)[0])(calibration)


def load_expert(name: str, calibration: str | Path) -> Expert:
    """Builds the expert of a policy; raises ValueError with a sentence when the name is unknown."""
    return _factory(_known(name)[1])(calibration)


def load_policy(name: str, calibration: str | Path) -> tuple[Backbone, Expert]:
    """Builds both halves of a policy.

    Args:
        name: One of `policy_names()`.
        calibration: Path of the camera calibration file (config/calibration/*.yaml).
    """
    return load_backbone(name, calibration), load_expert(name, calibration)


def _known(name: str) -> tuple[str, str]:
    if name not in _POLICIES:
        raise ValueError(f"expected policy to be one of {', '.join(policy_names())}, got '{name}': choose one of them")
    return _POLICIES[name]


def _factory(target: str) -> Callable:
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)
