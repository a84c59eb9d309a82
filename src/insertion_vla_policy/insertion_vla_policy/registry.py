"""Policies by name or folder. Each half is imported only when it is asked for: a process loads what it runs."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import yaml
from insertion_vla_core.contract import Contract
from insertion_vla_core.shared_files import find_shared

from insertion_vla_policy.checkpoint_config import CONFIG, BackboneRef, load_config
from insertion_vla_policy.protocol import Backbone, Expert
from insertion_vla_policy.run_options import RunOptions

# name -> ("module:class" of the backbone, "module:class" of the expert); both are built from the calibration file.
_POLICIES: dict[str, tuple[str, str]] = {
    "visual_servo": (
        "insertion_vla_policy.backbones.color_keypoints:ColorKeypoints",
        "insertion_vla_policy.experts.visual_servo:VisualServo",
    ),
}
# Trained ones that come with the project, each a checkpoint in a folder of its name; the first is the default.
SHIPPED = ("diffusion", "regression")
# Backbones that need no weights; those of a folder say themselves which one they are.
_WEIGHTLESS = {"color_keypoints": _POLICIES["visual_servo"][0]}


def policy_names() -> list[str]:
    """Names that `load_policy` knows besides folders."""
    return [*SHIPPED, *sorted(_POLICIES)]


def checkpoint_folder(policy: str | Path) -> Path | None:
    """Folder of a policy that has one: given as a path, or by the name of one that is shipped; None for other names.

    Raises:
        ValueError: the shipped policies are not there.
    """
    if str(policy) in SHIPPED:
        return _shipped(str(policy))
    given_as_path = str(policy) not in _POLICIES and ("/" in str(policy) or Path(policy).is_dir())
    return Path(policy).expanduser() if given_as_path else None


def _shipped(name: str) -> Path:
    models = find_shared("models", "insertion_vla_policy", f"{name}/{CONFIG}")
    if models is None:
        raise ValueError(
            f"expected the policy '{name}' in a folder models/, found none: install the whole project again"
        )
    return models / name


def load_backbone(policy: str | Path, calibration: str | Path) -> Backbone:
    """Builds the backbone of a policy.

    Args:
        policy: one of `policy_names()`, the folder of a checkpoint, or that of a backbone alone.
        calibration: path of the camera calibration file (config/calibration/*.yaml).

    Raises:
        ValueError: no such name or folder, or the backbone is another one than that of the training.
    """
    folder = checkpoint_folder(policy)
    if folder is None:
        return _factory(_known(str(policy))[0])(calibration)
    if not _is_checkpoint(folder):
        return _folder_backbone(folder)
    wanted = load_config(folder).backbone
    if wanted is None:
        raise ValueError(f"expected a policy that sees in {folder}, got one without a backbone: run it without vlm")
    if wanted.name in _WEIGHTLESS:
        backbone: Backbone = _factory(_WEIGHTLESS[wanted.name])(calibration)
    else:
        backbone = _folder_backbone(backbone_folder(folder, wanted))
    if (backbone.model_id, backbone.model_hash) != (wanted.model_id, wanted.model_hash):
        raise ValueError(
            f"expected backbone '{wanted.model_id}' {wanted.model_hash}, with which the policy in {folder} was "
            f"trained, got '{backbone.model_id}' {backbone.model_hash}: restore its files, or train again"
        )
    return backbone


def backbone_folder(folder: Path, wanted: BackboneRef) -> Path:
    """Where the backbone of a checkpoint is: inside its folder, else at the path itself."""
    inside = folder / wanted.source
    return inside if inside.is_dir() else Path(wanted.source).expanduser()


def load_expert(
    policy: str | Path,
    calibration: str | Path,
    contract: Contract | None = None,
    options: RunOptions | None = None,
) -> Expert:
    """Builds the expert of a policy.

    Args:
        policy: one of `policy_names()`, or the folder of a checkpoint.
        calibration: path of the camera calibration file.
        contract: of the graph; a checkpoint of another one is refused.
        options: how a checkpoint is run.

    Raises:
        ValueError: no such name, or the checkpoint cannot be used; what to do is in the sentence.
    """
    folder = checkpoint_folder(policy)
    if folder is None:
        return _factory(_known(str(policy))[1])(calibration)
    from insertion_vla_policy.policy import Policy  # torch

    return Policy.load(folder, options, contract, calibration)


def load_policy(policy: str | Path, calibration: str | Path) -> tuple[Backbone, Expert]:
    """Builds both halves of a policy; arguments and errors as those of `load_backbone` and `load_expert`."""
    return load_backbone(policy, calibration), load_expert(policy, calibration)


def backbone_views(policy: str | Path) -> tuple[str, ...]:
    """The views, in order, that the backbone of a checkpoint was trained with; empty where that is not known."""
    folder = checkpoint_folder(policy)
    if folder is None or not _is_checkpoint(folder):
        return ()
    backbone = load_config(folder).backbone
    return backbone.views if backbone else ()


def limit_threads(threads: int) -> None:
    """Keeps torch, where this process has loaded it, to so many threads; 0 leaves it alone."""
    if threads and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _is_checkpoint(folder: Path) -> bool:
    """The settings of a backbone alone name it in one word; everything else is for the checkpoint's reader to judge."""
    try:
        content = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return True
    return not (isinstance(content, dict) and isinstance(content.get("backbone"), str))


def _folder_backbone(folder: Path) -> Backbone:
    from insertion_vla_policy.backbones.folder import load_backbone_folder  # torch

    return load_backbone_folder(folder)


def _known(name: str) -> tuple[str, str]:
    if name not in _POLICIES:
        raise ValueError(
            f"expected policy to be one of {', '.join(policy_names())} or the path of a checkpoint's folder, got "
            f"'{name}': choose one of them"
        )
    return _POLICIES[name]


def _factory(target: str) -> Callable:
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)
