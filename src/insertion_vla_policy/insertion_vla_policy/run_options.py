"""How a trained policy is run; nothing here changes what it was trained to do."""

from __future__ import annotations

from typing import Literal

from insertion_vla_core.strict_yaml import StrictModel
from pydantic import Field

MOST_GUIDED_S = 0.7  # of a chunk of 0.8 s: the rest is left for what is new


class RunOptions(StrictModel):
    """Options of `Policy.load`, and parameters `run.*` of the action_expert node.

    All back ends are checked against "eager" when the policy is loaded. Of several samples the one nearest to all
    others is taken, and their spread is reported. Each goal begins with the seed anew.
    """

    backend: Literal["traced", "eager", "compile", "cuda_graph", "onnx", "onnx_int8"] = Field(
        default="traced",
        description="what computes: torch, traced or as written, torch.compile, a CUDA graph, ONNX Runtime (8-bit)",
    )
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="where; a CUDA graph needs cuda")
    method: Literal["ddim", "ddpm"] = Field(default="ddim", description="how diffusion samples")
    steps: int = Field(default=4, ge=1, le=10_000, description="steps of sampling, at most the T of the training")
    samples: int = Field(default=1, ge=1, le=64, description="samples drawn per chunk")
    guided_s: float = Field(
        default=0.0,
        ge=0.0,
        le=MOST_GUIDED_S,
        description="[s] diffusion: a chunk continues the one before it for so long, and then leaves it; 0: never",
    )
    max_spread_m: float = Field(default=0.0, ge=0.0, le=1.0, description="[m] hold beyond this spread; 0: never")
    seed: int = Field(default=0, ge=0, description="of the noise")
    threads: int = Field(default=1, ge=0, le=256, description="threads of torch in the process; 0: its own choice")
