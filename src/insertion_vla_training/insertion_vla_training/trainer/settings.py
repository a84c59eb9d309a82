"""What can be chosen about a training run: the flags of `train`, and the content of its YAML files."""

from __future__ import annotations

from typing import Literal

from insertion_vla_core.strict_yaml import StrictModel
from insertion_vla_policy.model_config import FusionKind, Size
from insertion_vla_policy.normalizer import Method
from pydantic import Field, model_validator

from insertion_vla_training.datasets.ages import FeatureAges
from insertion_vla_training.datasets.episodes import DataSource, LabelSource

Expert = Literal["regression", "diffusion", "state_diffusion"]
Part = Literal["force", "state", "features"]


class DataSettings(StrictModel):
    """The data.

    Attributes:
        stores: folders of the stores (`preprocess`).
        weights: of the stores, shares of an epoch relative to each other (3 2 1); all equal by default.
        labels: per store: chunks of the episode's expert, or the gate's commands (teleoperation); one serves all.
        include_bad: also episodes that are flagged bad.
        include_failed: also episodes whose outcome is failure.
        cache: folder of the caches; by default `cache` within each store.
        features: folder name of the cached features as `cache list` says it, or the name of its model where there is
            but one; none trains a policy that does not see.
        backbone: folder of the learned backbone that made the features; the policy keeps a copy of it.
        calibration: file of the cameras; with it the expert is told where the named trocar is in space, from the key
            points of tiny_vl or color_keypoints.
        ages: of the features: as recorded where there are any, or uniform between latency and latency + period.
        latency_s: of the vlm node [s].
        period_s: of the vlm node [s].
        workers: processes per rank that read ahead; 0 reads in the training process.
    """

    stores: tuple[str, ...] = Field(default=(), strict=False)
    weights: tuple[float, ...] = Field(default=(), strict=False)
    labels: tuple[LabelSource, ...] = Field(default=("chunks",), strict=False)
    include_bad: bool = False
    include_failed: bool = False
    cache: str | None = None
    features: str = "none"
    backbone: str | None = None
    calibration: str | None = None
    ages: Literal["recorded", "uniform"] = "recorded"
    latency_s: float = Field(default=0.1, ge=0.0, le=10.0)
    period_s: float = Field(default=1.0 / 2.6, gt=0.0, le=10.0)
    workers: int = Field(default=0, ge=0, le=256)

    def sources(self) -> list[DataSource]:
        """One per store; raises ValueError if the lists do not fit together."""
        count = len(self.stores)
        if not count:
            raise ValueError("expected at least one store, got none: --data.stores FOLDER, made by preprocess")
        weights = self.weights or (1.0,) * count
        labels = self.labels * count if len(self.labels) == 1 else self.labels
        for name, values in (("weights", weights), ("labels", labels)):
            if len(values) != count:
                raise ValueError(f"expected {count} --data.{name}, one per store, got {len(values)}")
        if min(weights) < 0.0 or max(weights) == 0.0:
            raise ValueError(f"expected --data.weights of 0 and more, one of them above 0, got {weights}")
        more = {"include_bad": self.include_bad, "include_failed": self.include_failed, "cache": self.cache}
        return [
            DataSource(store=store, weight=weight, label=label, **more)
            for store, weight, label in zip(self.stores, weights, labels, strict=True)
        ]

    def feature_ages(self) -> FeatureAges:
        """Where the ages of features come from."""
        return FeatureAges(source=self.ages, latency_s=self.latency_s, period_s=self.period_s)


class ModelSettings(StrictModel):
    """The expert.

    Attributes:
        fusion: how the force meets what is seen; none leaves the force out.
        robot_state: False hides joints and tool pose from the policy (an ablation).
        size: hidden size: nano 128, small 256, base 512, large 1024.
        mlp_ratio: width of the feed-forward layers over the hidden size.
        dropout: share of numbers dropped while training.
        diffusion_steps: T, noise levels of a diffusion expert.
        force_window_s: force at full rate that the expert sees [s].
        history_s: decimated force and surface distance that it sees [s].
        surface: the surface distance is part of the history.
        normalization: of inputs and actions: quantile is robust, mean_std is not.
        n_obs_steps: state_diffusion: states that are looked at.
        horizon: state_diffusion: actions that are planned.
        n_action_steps: state_diffusion: actions that are carried out before planning anew.
    """

    fusion: FusionKind = "concat"
    robot_state: bool = True
    size: Size = "small"
    mlp_ratio: int = Field(default=2, ge=1, le=8)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    diffusion_steps: int = Field(default=100, ge=2, le=10_000)
    force_window_s: float = Field(default=0.1, gt=0.0)
    history_s: float = Field(default=1.0, gt=0.0)
    surface: bool = True
    normalization: Method = "quantile"
    n_obs_steps: int = Field(default=2, ge=1)
    horizon: int = Field(default=16, ge=1)
    n_action_steps: int = Field(default=8, ge=1)


class OptimSettings(StrictModel):
    """How it is trained.

    Attributes:
        steps: optimiser steps; by default as many as `epochs` take.
        epochs: passes over the data where `steps` is not given.
        batch_size: samples per step, rank and micro-batch.
        accumulate: micro-batches whose gradients make one step.
        lr: highest learning rate.
        min_lr: lowest one, where the cosine ends.
        force_lr: highest rate of the force encoder; by default `lr`.
        warmup_ratio: share of the steps with a rising rate.
        hold_ratio: share of the steps at the highest rate before the cosine.
        weight_decay: of matrices; biases, norms and embeddings have none.
        clip: largest norm of the gradient.
        sensor_loss_weight: of samples near contact (label: aux of the first row is 0.5 and more) relative to the
            others.
        ema_decay: of the average of weights, which is what is validated and saved.
        precision: of matrix products; auto is bfloat16 on a GPU and float32 on a CPU.
    """

    steps: int | None = Field(default=None, ge=1)
    epochs: float = Field(default=20.0, gt=0.0)
    batch_size: int = Field(default=64, ge=1)
    accumulate: int = Field(default=1, ge=1)
    lr: float = Field(default=3e-4, gt=0.0)
    min_lr: float = Field(default=1e-6, ge=0.0)
    force_lr: float | None = Field(default=None, gt=0.0)
    warmup_ratio: float = Field(default=0.03, ge=0.0, lt=1.0)
    hold_ratio: float = Field(default=0.02, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.01, ge=0.0)
    clip: float = Field(default=1.0, gt=0.0)
    sensor_loss_weight: float = Field(default=2.0, gt=0.0)
    ema_decay: float = Field(default=0.999, ge=0.0, lt=1.0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _rates(self) -> OptimSettings:
        if self.min_lr > self.lr:
            raise ValueError(f"expected min_lr of at most lr, got {self.min_lr:g} and {self.lr:g}")
        return self


class BackboneSettings(StrictModel):
    """Stage 2: the backbone sees live images, and an adapter (LoRA) of its language tower is trained too.

    Attributes:
        folder: of the backbone qwen2.5-vl: its config.yaml says where the model is (see docs/backbones.md).
        lora_r: rank of the adapter.
        lora_alpha: its scale is alpha / r.
        lora_dropout: share of its inputs dropped while training.
        lora_modules: projections of the language tower that get one.
        lr: highest learning rate of the adapter.
        checkpointing: gradient checkpointing: less memory, about a third slower.
        augment: share of the images whose brightness and contrast are changed.
    """

    folder: str | None = None
    lora_r: int = Field(default=8, ge=1)
    lora_alpha: int = Field(default=16, ge=1)
    lora_dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    lora_modules: tuple[str, ...] = Field(default=("q_proj", "k_proj", "v_proj", "o_proj"), strict=False)
    lr: float = Field(default=1e-5, gt=0.0)
    checkpointing: bool = True
    augment: float = Field(default=0.0, ge=0.0, le=1.0)


class InitSettings(StrictModel):
    """Where the weights come from, instead of from chance.

    Attributes:
        checkpoint: a policy folder, for example of stage 1.
        parts: encoders to take from it; none given takes all of it.
        freeze: encoders that are not trained.
    """

    checkpoint: str | None = None
    parts: tuple[Part, ...] = Field(default=(), strict=False)
    freeze: tuple[Part, ...] = Field(default=(), strict=False)


class ValidationSettings(StrictModel):
    """Validation on the episodes that the store keeps for it.

    Attributes:
        enabled: False trains without.
        every: steps between two validations; by default an epoch, and always after the last step.
        samples: ticks whose errors in mm and degrees are measured; the loss is taken over all.
        draws: chunks that a diffusion expert draws per tick, for its calibration.
        sampling_steps: of a diffusion expert (DDIM).
    """

    enabled: bool = True
    every: int | None = Field(default=None, ge=1)
    samples: int = Field(default=512, ge=1)
    draws: int = Field(default=8, ge=1, le=64)
    sampling_steps: int = Field(default=10, ge=1)


class LogSettings(StrictModel):
    """What is written down.

    Attributes:
        every: steps between two lines of the metrics.
        save_every: steps between two states to resume from; also at each validation and at the end.
        trackers: beside metrics.jsonl, metrics.csv and plots, which are always written.
        project: of W&B; by default QwenVLA-Regression, QwenVLA-Diffusion or QwenVLA-StateDiffusion.
        name: of the run in the trackers; by default the expert, month, day, hour and minute.
    """

    every: int = Field(default=10, ge=1)
    save_every: int = Field(default=500, ge=1)
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = Field(default=("tensorboard",), strict=False)
    project: str | None = None
    name: str | None = None


class TrainSettings(StrictModel):
    """A training run.

    Attributes:
        out: folder of the run; a run that is there and not at its end is resumed.
        expert: what is trained.
        stage: 1 trains on cached features, 2 also the backbone's adapter, on images.
        rewarm: begin a new warm-up at the present step of a resumed run; allows other steps and rates.
        dry_run: only print parameters, memory and time; nothing is written.
        seed: of weights, order and noise.
        device: auto is the GPU where there is one.
        threads: of the CPU per rank.
        data: the data.
        model: the expert.
        optim: how it is trained.
        backbone: stage 2.
        init: where the weights come from.
        validation: on the episodes kept for it.
        log: what is written down.
    """

    out: str = ""
    expert: Expert = "regression"
    stage: Literal[1, 2] = 1
    rewarm: bool = False
    dry_run: bool = False
    seed: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=1, ge=1)
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    optim: OptimSettings = OptimSettings()
    backbone: BackboneSettings = BackboneSettings()
    init: InitSettings = InitSettings()
    validation: ValidationSettings = ValidationSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _together(self) -> TrainSettings:
        if self.stage == 2 and self.expert == "state_diffusion":
            raise ValueError("expected stage 1 for state_diffusion, which sees no images, got 2")
        if self.stage == 2 and self.backbone.folder is None:
            raise ValueError("expected a backbone for stage 2: --backbone.folder FOLDER (qwen2.5-vl)")
        if self.stage == 2 and self.data.features != "none":
            raise ValueError("expected no cached features in stage 2, which computes its own: --data.features none")
        return self
