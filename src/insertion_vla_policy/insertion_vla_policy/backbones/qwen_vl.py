"""Backbone `qwen2.5-vl`: hidden states of a Qwen2.5-VL model (3B, 7B ...) for the views and the instruction.

All views and the instruction are one sequence. Only what the tokens need is loaded and run: no language head, no layer
beyond the chosen one, the vision tower once for all views. See `QwenSettings` for what can be chosen.
"""

import time
from typing import Any

import torch
from torch import Tensor

from insertion_vla_policy.backbones.qwen_prompt import Prompt, Prompter
from insertion_vla_policy.backbones.qwen_settings import QwenSettings
from insertion_vla_policy.backbones.qwen_tower import VisionTower
from insertion_vla_policy.images import PatchSettings, checked_views, cut_patches
from insertion_vla_policy.protocol import Features, Image


class QwenVl:
    """See the module's docstring. Use `qwen_load.load_qwen`."""

    model_id = "qwen2.5-vl"

    def __init__(
        self, model: Any, prompter: Prompter, settings: QwenSettings, patches: PatchSettings, model_hash: str
    ) -> None:
        self.model_hash, self.settings = model_hash, settings
        self.model = model
        self.tower = VisionTower(model.visual)
        self.device = next(model.parameters()).device
        self._prompter = prompter
        self._views = tuple(settings.views)
        self._patches = patches
        self._sequences: dict[tuple[str, tuple[tuple[int, int], ...]], tuple[Prompt, Tensor, Tensor, Tensor]] = {}

    @property
    def token_dim(self) -> int:
        """Size of a token, from the model's configuration."""
        return int(self.model.config.text_config.hidden_size)

    def encode(self, images: list[Image], instruction: str) -> Features:
        """Tokens of one image set; ValueError for other views than the model's or pictures that are not RGB."""
        started = time.perf_counter()
        with torch.inference_mode():
            hidden, prompt = self.hidden(images, instruction)
            tokens = pooled(hidden, prompt, self.settings.pooling).float().cpu().numpy()
        return Features(
            tokens=tokens,
            instruction=instruction,
            view_names=self._views,
            view_stamps_ns=tuple(image.stamp_ns for image in images),
            model_id=self.model_id,
            model_hash=self.model_hash,
            inference_s=time.perf_counter() - started,
        )

    def hidden(self, images: list[Image], instruction: str) -> tuple[Tensor, Prompt]:
        """Hidden states (n, d) of the whole sequence and its prompt; differentiable, for training an adapter."""
        cut = cut_patches(checked_views(images, self._views), self._patches)
        grids = tuple((int(rows), int(columns)) for rows, columns in cut.grids)
        patches = torch.from_numpy(cut.values).to(self.device, non_blocking=True)
        prompt, ids, visual, positions = self._sequence(instruction, grids)
        seen = self.tower(patches, grids)
        embedded = self.model.language_model.embed_tokens(ids)
        embedded = embedded.index_copy(0, visual, seen.to(embedded.dtype))
        out = self.model.language_model(inputs_embeds=embedded[None], position_ids=positions, use_cache=False)
        return out.last_hidden_state[0], prompt

    def _sequence(self, instruction: str, grids: tuple[tuple[int, int], ...]) -> tuple[Prompt, Tensor, Tensor, Tensor]:
        """Prompt, ids (n,), positions of visual tokens (m,), rotary positions (3, 1, n); of the last sentence."""
        if (instruction, grids) not in self._sequences:
            merged = self._patches.merge**2
            prompt = self._prompter.write(instruction, [rows * columns // merged for rows, columns in grids])
            ids = torch.from_numpy(prompt.ids)
            kinds = torch.zeros_like(ids)
            kinds[prompt.visual] = 1  # without them the model would count pictures as if they were words
            thw = torch.tensor([(1, *grid) for grid in grids])
            positions, _ = self.model.get_rope_index(ids[None], mm_token_type_ids=kinds[None], image_grid_thw=thw)
            on = self.device
            self._sequences = {
                (instruction, grids): (prompt, ids.to(on), torch.from_numpy(prompt.visual).to(on), positions.to(on))
            }
        return self._sequences[instruction, grids]


def pooled(hidden: Tensor, prompt: Prompt, pooling: str) -> Tensor:
    """Tokens (k, d) of hidden states (n, d); see `QwenSettings.pooling`."""
    if pooling == "tokens":
        return hidden
    if pooling == "last":
        return hidden[-1:]
    if pooling == "mean":
        return hidden.float().mean(0, keepdim=True)
    visual = hidden[torch.from_numpy(prompt.visual).to(hidden.device)]
    if pooling == "visual":
        return visual
    views = torch.from_numpy(prompt.views).to(hidden.device)
    return torch.stack([visual[views == view].float().mean(0) for view in range(int(prompt.views.max()) + 1)])
