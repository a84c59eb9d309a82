"""How a trained policy is run; nothing here changes what it was trained to do."""

from __future__ import annotations

from typing import Literal

from insertion_vla_core.strict_yaml import StrictModel
from pydantic import Field

Backend = Literal["eager", "compile", "cuda_graph", "onnx", "onnx_int8"]


class RunOptions(StrictModel):
    """Options of `Policy.load`.

    Attributes:
        backend: what computes: torch itself ("eager"), torch.compile, a CUDA graph, ONNX Runtime with float32 weights
            or with 8-bit weights. All are checked against "eager" when the policy is loaded.
        device: "cpu" or "cuda"; a CUDA graph needs the latter.
        method: how diffusion samples: "ddim" or "ddpm".
        steps: of sampling, 1 to the T of the training.
        samples: drawn per chunk; the one nearest to all others is taken, and their spread is reported.
        max_spread_m: with more spread than this [m] the policy holds; 0 for no such limit.
        seed: of the noise; each goal begins with it anew.
        threads: of torch and ONNX Runtime in this process; 0 leaves them alone.
    """

    backend: Backend = "eager"
    device: Literal["cpu", "cuda"] = "cpu"
    method: Literal["ddim", "ddpm"] = "ddim"
    steps: int = Field(default=10, ge=1)
    samples: int = Field(default=1, ge=1, le=64)
    max_spread_m: float = Field(default=0.0, ge=0.0)
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=0, le=256)
