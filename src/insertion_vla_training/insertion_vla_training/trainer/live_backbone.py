"""Stage 2: the backbone qwen2.5-vl sees the images of every sample, and a LoRA adapter of its language tower learns.

The adapter is made by peft around the model as `qwen_load` reads it back, so a trained one is loaded by the live node
with no other code. Everything else of the backbone stays frozen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from insertion_vla_core.strict_yaml import load_strict
from insertion_vla_policy.backbones.qwen_load import load_qwen
from insertion_vla_policy.backbones.qwen_settings import QwenSettings
from insertion_vla_policy.backbones.qwen_vl import pooled
from insertion_vla_policy.checkpoint_config import BackboneRef
from insertion_vla_policy.protocol import Image
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from insertion_vla_training.trainer.settings import BackboneSettings

Seen = tuple[list[Image], str]  # the images of a sample and its instruction
SETTINGS_FILE, ADAPTER_FOLDER = "config.yaml", "adapter"


class LiveBackbone:
    """The backbone with its adapter.

    Attributes:
        settings: of the backbone.
        shape: (n, d), the most tokens per image set, and numbers per token; known after `probe`.
    """

    def __init__(self, settings: BackboneSettings, device: torch.device) -> None:
        """Loads the backbone; errors as `load_qwen`."""
        assert settings.folder is not None
        folder = Path(settings.folder).expanduser()
        given = load_strict(folder / SETTINGS_FILE, QwenSettings, "a backbone qwen2.5-vl")
        if (folder / given.model).is_dir():
            given = given.model_copy(update={"model": str((folder / given.model).resolve())})
        # The hash of the features says which type they were computed in: it is no longer left open.
        dtype = given.dtype if given.dtype != "auto" else ("bfloat16" if device.type == "cuda" else "float32")
        self.settings = given.model_copy(update={"device": str(device), "dtype": dtype})
        self.shape = (0, 0)
        self._augment, self._rng = settings.augment, np.random.default_rng(0)
        self._qwen = load_qwen(self.settings)
        modules = "|".join(map(re.escape, settings.lora_modules))
        config = LoraConfig(
            r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=rf"language_model\.layers\..*\.({modules})",
        )
        self._peft: Any = get_peft_model(self._qwen.model, config)
        if settings.checkpointing:
            tower = self._qwen.model.language_model
            tower.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def trained(self) -> nn.ParameterDict:
        """The adapter's weights by name, the very ones that the backbone uses."""
        named = self._peft.named_parameters()
        return nn.ParameterDict({n.replace(".", "/"): p for n, p in named if p.requires_grad})

    def frozen_count(self) -> int:
        """Numbers that are not trained."""
        return sum(p.numel() for p in self._peft.parameters() if not p.requires_grad)

    def train(self, mode: bool) -> None:
        """Training mode of the language tower: dropout of the adapter, and checkpointing."""
        self._qwen.model.language_model.train(mode)

    def seed(self, number: int) -> None:
        """Chance of the pictures of a step."""
        self._rng = np.random.default_rng(number)

    @torch.no_grad()
    def probe(self, seen: Seen) -> tuple[int, int]:
        """Looks at one sample to learn the shape of the tokens."""
        self.shape = tuple(self._tokens(seen).shape)  # type: ignore[assignment]
        return self.shape

    def tokens(self, samples: Sequence[Seen]) -> tuple[Tensor, Tensor]:
        """Tokens (B, n, d) float32, padded, and their mask (B, n); with gradients for the adapter."""
        each = [self._tokens(self._changed(seen)) for seen in samples]
        tokens = torch.zeros(len(each), *self.shape, device=each[0].device)
        mask = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for row, found in enumerate(each):
            if len(found) > self.shape[0]:
                raise ValueError(
                    f"expected at most {self.shape[0]} tokens per image set, got {len(found)}: train on instructions "
                    "of one length, or use the pooling visual or view_mean"
                )
            tokens[row, : len(found)] = found
            mask[row, : len(found)] = True
        return tokens, mask

    def _tokens(self, seen: Seen) -> Tensor:
        hidden, prompt = self._qwen.hidden(*seen)
        return pooled(hidden, prompt, self.settings.pooling).float()

    def _changed(self, seen: Seen) -> Seen:
        """Brightness and contrast of some pictures, in training."""
        if not self._augment or not self._qwen.model.language_model.training:
            return seen
        images, instruction = seen
        changed = []
        for image in images:
            if self._rng.random() < self._augment:
                contrast, brightness = self._rng.uniform(0.8, 1.2), self._rng.uniform(-20.0, 20.0)
                rgb = cv2.convertScaleAbs(image.rgb, alpha=contrast, beta=brightness)
                image = Image(image.view, image.stamp_ns, np.asarray(rgb, np.uint8))
            changed.append(image)
        return changed, instruction

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> BackboneRef:
        """Write the adapter and the backbone's settings for the checkpoint.

        Args:
            folder: an empty one.
            weights: of the adapter, by the names of `trained`.

        Returns:
            what the policy's configuration says of it; its hash is that of the backbone when loaded back.
        """
        trained = self.trained()
        kept = {name: value.detach().clone() for name, value in trained.items()}
        with torch.no_grad():
            for name, value in weights.items():
                trained[name].copy_(value)
            self._peft.save_pretrained(str(folder / ADAPTER_FOLDER), safe_serialization=True)
            for name, value in kept.items():
                trained[name].copy_(value)
        written = self.settings.model_copy(update={"adapter": ADAPTER_FOLDER, "device": "auto"})
        (folder / SETTINGS_FILE).write_text(yaml.safe_dump(written.model_dump(mode="json")), encoding="utf-8")
        again = self.settings.model_copy(update={"adapter": str(folder / ADAPTER_FOLDER), "device": "cpu"})
        loaded = load_qwen(again)
        return BackboneRef(
            name="qwen2.5-vl",
            source="backbone",
            model_id=loaded.model_id,
            model_hash=loaded.model_hash,
            views=tuple(self.settings.views),
        )
