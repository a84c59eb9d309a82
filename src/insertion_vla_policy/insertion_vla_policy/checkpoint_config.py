"""config.yaml of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from insertion_vla_core.strict_yaml import StrictModel, load_strict
from pydantic import Field, model_validator

from insertion_vla_policy.model_config import ModelConfig, StateDiffusionConfig, VlaConfig

CONFIG = "config.yaml"


class BackboneRef(StrictModel):
    """The backbone whose features a policy was trained with.

    Attributes:
        name: "color_keypoints", "tiny_vl", "qwen2.5-vl", ...: as the registry calls it.
        source: where its weights are: a folder inside the checkpoint, a path, or a hub id; empty if it has none.
        model_id, model_hash: of the features; other features are refused.
        views: camera views in the order of the tokens.
    """

    name: str
    source: str = ""
    model_id: str
    model_hash: str
    views: tuple[str, ...] = Field(default=(), strict=False)


class CheckpointConfig(StrictModel):
    """What a checkpoint is.

    Attributes:
        format, version: of the folder.
        vla: a policy on the contract's observations, or
        state_diffusion: a low-dimensional policy; one of the two.
        backbone: of a policy that sees.
        training: numbers and words about the run, for people and reports.
    """

    format: Literal["insertion_vla policy"] = "insertion_vla policy"
    version: Literal[1] = 1
    vla: VlaConfig | None = None
    state_diffusion: StateDiffusionConfig | None = None
    backbone: BackboneRef | None = None
    training: dict[str, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _one_model(self) -> CheckpointConfig:
        if (self.vla is None) == (self.state_diffusion is None):
            raise ValueError("expected one of 'vla' and 'state_diffusion'; describe one model")
        sees = self.vla is not None and self.vla.inputs.feature_tokens > 0
        if sees != (self.backbone is not None):
            raise ValueError("expected 'backbone' exactly where the model takes features: it says who gives them")
        return self

    @property
    def model(self) -> ModelConfig:
        """The model's configuration."""
        model = self.vla or self.state_diffusion
        assert model is not None
        return model


def config_yaml(config: CheckpointConfig) -> str:
    """The text of config.yaml."""
    text: str = yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False)
    return text


def load_config(folder: str | Path) -> CheckpointConfig:
    """The configuration of the checkpoint in a folder.

    Raises:
        ValueError: there is no such folder, or the file is missing or has wrong entries.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"expected a checkpoint in the folder {folder}, there is no such folder: check the path")
    return load_strict(folder / CONFIG, CheckpointConfig, "a policy's configuration")
