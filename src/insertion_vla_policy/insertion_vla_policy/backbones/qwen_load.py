"""Loads the backbone `qwen2.5-vl`: strictly, only the layers that are needed, with its LoRA adapter and its hash."""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel
from transformers.utils import logging

from insertion_vla_policy.backbones.qwen_files import (
    adapter_files,
    content_hash,
    model_folder,
    patch_settings,
    weight_files,
)
from insertion_vla_policy.backbones.qwen_prompt import Prompter
from insertion_vla_policy.backbones.qwen_settings import QwenSettings
from insertion_vla_policy.backbones.qwen_vl import QwenVl
from insertion_vla_policy.images import PatchSettings

TOKEN_FORMAT = "qwen2.5-vl tokens 1"


def load_qwen(settings: QwenSettings) -> QwenVl:
    """Loads the backbone.

    Raises:
        ValueError: a file is missing, damaged or of another model, or the layer does not exist; the sentence says what.
    """
    folder = model_folder(settings.model, settings.revision)
    config = _config(folder)
    layers = config.text_config.num_hidden_layers
    if not -layers - 1 <= settings.layer <= layers:
        raise ValueError(
            f"expected layer between {-layers - 1} and {layers}, got {settings.layer}: {folder} has {layers}"
        )
    used = settings.layer % (layers + 1)
    config.text_config.num_hidden_layers = used
    config.text_config.layer_types = config.text_config.layer_types[:used]
    device, dtype = _device(settings.device), settings.dtype
    if dtype == "auto":
        dtype = "float32" if device.type == "cpu" else "bfloat16"
    model = _load_model(folder, config, getattr(torch, dtype), _attention(settings.attention, device))
    if settings.adapter:
        model = _with_adapter(model, Path(settings.adapter).expanduser())
    if used < layers:
        model.language_model.norm = nn.Identity()  # the norm belongs to the last layer
    model = model.eval().requires_grad_(False).to(device)
    prompter = Prompter(folder / "tokenizer.json", settings.prompt, config.image_token_id)
    cut = patch_settings(folder, settings.min_pixels, settings.max_pixels)
    return QwenVl(model, prompter, settings, cut, _model_hash(folder, settings, cut, used, dtype))


def _config(folder: Path) -> Any:
    file = folder / "config.json"
    try:
        kind = json.loads(file.read_text()).get("model_type")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"expected a model's configuration in {file}, got {error}: copy it again") from error
    if kind != "qwen2_5_vl":
        raise ValueError(f"expected a Qwen2.5-VL model (qwen2_5_vl) in {folder}, its config.json says {kind}")
    return Qwen2_5_VLConfig.from_pretrained(folder)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"expected a device of this machine, got '{name}' ({error}): say cpu, cuda or auto") from error
    return device


def _attention(name: str, device: torch.device) -> str:
    has_flash = device.type == "cuda" and find_spec("flash_attn") is not None
    if name == "flash_attention_2" and not has_flash:
        raise ValueError(f"expected a GPU and the package flash_attn for flash_attention_2, got {device}: say auto")
    return ("flash_attention_2" if has_flash else "sdpa") if name == "auto" else name


def _load_model(folder: Path, config: Any, dtype: torch.dtype, attention: str) -> Any:
    for file in weight_files(folder):
        _tensor_names(file)
    load: Any = Qwen2_5_VLModel.from_pretrained
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # it would report the head and the layers that are left out on purpose
    try:
        model, loaded = load(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    finally:
        logging.set_verbosity(verbosity)
    if lacking := sorted(loaded["missing_keys"]) or sorted(str(key) for key in loaded["mismatched_keys"]):
        raise ValueError(
            f"expected all weights of the model in {folder}; {len(lacking)} are missing or of another shape, "
            f"first {lacking[0]}: config.json and the weights do not belong together"
        )
    if broken := next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None):
        raise ValueError(f"expected finite weights in {folder}, got NaN or infinity in {broken}: copy the model again")
    return model


def _with_adapter(model: Any, folder: Path) -> Any:
    """The model with a LoRA adapter merged into its weights; ValueError unless every tensor finds its place."""
    names = _tensor_names(adapter_files(folder)[1])
    adapted = PeftModel.from_pretrained(model, str(folder))
    # peft warns where a tensor finds no place, and goes on without it.
    lost = sorted(set(names) ^ set(get_peft_model_state_dict(adapted)))
    if lost:
        raise ValueError(
            f"expected the adapter in {folder} to fit the model; {len(lost)} of its tensors do not, first {lost[0]}: "
            "it was trained on another model, another layer or another wrapper"
        )
    return adapted.merge_and_unload()


def _tensor_names(file: Path) -> list[str]:
    try:
        with safe_open(file, "pt") as opened:
            return list(opened.keys())
    except SafetensorError as error:
        raise ValueError(f"expected safetensors in {file}, got {error}: it is damaged, copy it again") from error


def _model_hash(folder: Path, settings: QwenSettings, cut: PatchSettings, layer: int, dtype: str) -> str:
    """Hash over everything that changes the features."""
    files = [folder / "config.json", folder / "tokenizer.json", *weight_files(folder)]
    parts = [TOKEN_FORMAT, content_hash(files), settings.revision, settings.prompt, settings.views, cut, layer]
    parts += [settings.pooling, dtype]
    if settings.adapter:
        parts.append(content_hash(adapter_files(Path(settings.adapter).expanduser())))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
