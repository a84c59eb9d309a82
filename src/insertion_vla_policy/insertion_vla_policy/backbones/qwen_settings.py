"""What can be chosen about the backbone `qwen2.5-vl`; every choice but device and attention changes its model hash."""

from typing import Literal

from insertion_vla_core.strict_yaml import StrictModel
from pydantic import Field, field_validator, model_validator

PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n{images}{instruction}<|im_end|>\n<|im_start|>assistant\n"
)
Pooling = Literal["tokens", "visual", "view_mean", "mean", "last"]


class QwenSettings(StrictModel):
    """Settings of the backbone; the `backbone:` entry of a policy's config.yaml.

    Attributes:
        model: folder of a Qwen2.5-VL model (config.json, *.safetensors, tokenizer.json), or its id on the hub.
        revision: commit of a hub id; needed there, because a branch can change under a cache of features.
        adapter: folder of a LoRA adapter (adapter_config.json, adapter_model.safetensors), merged into the weights.
        layer: whose output the tokens are: 0 the embeddings, 1 the first layer ..., -1 the last one, after the norm.
        pooling: `tokens` all positions, `visual` those of the pictures, `view_mean` one mean per view, `mean` one of
            all positions, `last` the last position, which has seen everything.
        prompt: the text; `{images}` stands for the pictures, `{instruction}` for the sentence.
        views: names and order of the views.
        min_pixels, max_pixels: area that a picture is scaled to; those of preprocessor_config.json by default.
        dtype: of weights and activations; auto is bfloat16 on a GPU and float32 on a CPU.
        device: auto is the first GPU if there is one.
        attention: of the language tower; sdpa runs PyTorch's FlashAttention kernels where they fit, auto takes the
            package flash_attn where it is installed.
    """

    backbone: Literal["qwen2.5-vl"] = "qwen2.5-vl"
    model: str
    revision: str | None = None
    adapter: str | None = None
    layer: int = -1
    pooling: Pooling = "tokens"
    prompt: str = PROMPT
    views: list[str] = Field(min_length=1)
    min_pixels: int | None = Field(default=None, ge=784)
    max_pixels: int | None = Field(default=None, ge=784)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    device: str = "auto"
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"

    @field_validator("prompt")
    @classmethod
    def _placeholders(cls, prompt: str) -> str:
        if prompt.count("{images}") != 1 or prompt.count("{instruction}") != 1:
            raise ValueError(f"expected {{images}} and {{instruction}} once each in the prompt, got {prompt!r}")
        return prompt

    @model_validator(mode="after")
    def _area(self) -> "QwenSettings":
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"expected min_pixels <= max_pixels, got {self.min_pixels} > {self.max_pixels}")
        return self
