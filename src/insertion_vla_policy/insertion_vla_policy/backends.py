"""The back ends that run a model, each checked against plain torch before it is used."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from insertion_vla_policy.experts.noise import Sampler
from insertion_vla_policy.experts.regression import Regression
from insertion_vla_policy.guide import Guide
from insertion_vla_policy.model import Model
from insertion_vla_policy.network import Act, Parts, cut, put_together
from insertion_vla_policy.run_options import RunOptions

# Largest root-mean-square difference of a part's output, as a share of the output's own.
TOLERANCE = {"eager": 0.0, "traced": 1e-3, "compile": 1e-3, "cuda_graph": 1e-3, "onnx": 1e-3, "onnx_int8": 0.1}
SEEDS = (1, 2, 3)  # of the examples a back end is checked on
UNROLLED = 10  # steps traced as one program: a quarter quicker than one by one, for a fifth of a second each to load


def check_device(options: RunOptions) -> None:
    """Refuse CUDA where there is none, and combinations that cannot be.

    Raises:
        ValueError: what to choose instead.
    """
    if options.backend == "cuda_graph" and options.device != "cuda":
        raise ValueError("backend 'cuda_graph' needs device 'cuda', got 'cpu': set the device, or choose 'onnx'")
    if options.backend in ("onnx", "onnx_int8") and options.device != "cpu":
        raise ValueError(f"backend '{options.backend}' runs on device 'cpu', got 'cuda': choose 'cuda_graph' there")
    if options.backend == "cuda_graph" and options.method != "ddim":
        raise ValueError("backend 'cuda_graph' needs the method 'ddim', as 'ddpm' draws noise in every step")
    if options.backend == "cuda_graph" and options.guided_s:
        raise ValueError("backend 'cuda_graph' cannot be guided: set guided_s to 0, or choose 'compile'")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for, but torch sees no GPU here: choose device 'cpu', backend 'onnx'")


def make_act(model: Model, sampler: Sampler, example: dict[str, Tensor], options: RunOptions) -> Act:
    """How the model is run.

    Args:
        model: on the device of the options, for inference.
        sampler: of a diffusion expert; without effect for regression.
        example: normalised inputs of one sample, on the device.
        options: which back end.

    Raises:
        ValueError: the back end cannot be had, or does not agree with plain torch.
    """
    check_device(options)
    parts = cut(model, tuple(example))
    plain = put_together(parts, model, sampler)
    if options.backend == "eager":
        return plain
    noise = torch.randn(options.samples, *model.config.action_shape, device=options.device)
    if options.backend == "cuda_graph":
        return _checked(captured(plain, example, noise), plain, example, noise, options.backend)
    # Guidance and the noise of DDPM come in between the steps.
    between = options.guided_s > 0.0 or options.method == "ddpm"
    if options.backend == "traced" and not between and len(sampler.levels) <= UNROLLED:
        return _checked(_traced(plain, model, example, noise), plain, example, noise, options.backend)
    level = _level(model, sampler)
    if options.backend == "traced":
        others = _traced_parts(parts, example, noise, level)
    elif options.backend == "compile":
        others = Parts(parts.names, torch.compile(parts.observe), parts.see and torch.compile(parts.see))
    else:
        from insertion_vla_policy.onnx_parts import onnx_parts  # slow to import, and optional

        others = onnx_parts(parts, example, noise, level, options.backend == "onnx_int8", options.threads)
    _check_parts(parts, others, example, noise, level, options.backend)
    return put_together(others, model, sampler)


class _Whole(nn.Module):
    """`act` as a function of plain tensors; the model is here as the owner of the weights."""

    def __init__(self, act: Act, model: Model, names: tuple[str, ...]) -> None:
        super().__init__()
        self.act, self.model, self.names = act, model, names

    def forward(self, noise: Tensor, *inputs: Tensor) -> Tensor:
        """Actions out of noise."""
        return self.act(dict(zip(self.names, inputs, strict=True)), noise, None)


def _traced(act: Act, model: Model, example: dict[str, Tensor], noise: Tensor) -> Act:
    """All of `act` without Python between its operations."""
    names = tuple(example)
    whole = _trace(_Whole(act, model, names).eval(), (noise, *example.values()))
    return lambda inputs, noise, generator, guide=None: whole(noise, *(inputs[name] for name in names))


@torch.inference_mode()
def _traced_parts(parts: Parts, example: dict[str, Tensor], noise: Tensor, level: Tensor) -> Parts:
    inputs = tuple(example[name] for name in parts.names)
    observe = _trace(parts.observe, inputs)
    return Parts(parts.names, observe, parts.see and _trace(parts.see, (noise, level, *observe(*inputs))))


@torch.inference_mode()
def _trace(part: Any, inputs: tuple[Tensor, ...]) -> Any:
    with warnings.catch_warnings():
        # Its successors need a compiler and half a minute, or give the Python back.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.freeze(torch.jit.trace(part, inputs, check_trace=False))  # the check is ours


def _level(model: Model, sampler: Sampler) -> Tensor:
    if isinstance(model, Regression):
        return torch.zeros(())
    with torch.inference_mode():
        device = next(model.parameters()).device
        middle = sampler.levels[len(sampler.levels) // 2]
        level: Tensor = model.denoiser.decoder.levels(torch.tensor([middle], device=device))
    return level.clone()


@torch.inference_mode()
def _check_parts(
    parts: Parts, others: Parts, example: dict[str, Tensor], noise: Tensor, level: Tensor, backend: str
) -> None:
    for seed in SEEDS:
        inputs = list(_drawn(example, seed).values())
        condition = parts.observe(*inputs)
        _check(others.observe(*inputs), condition, backend)
        if parts.see is not None and others.see is not None:
            noisy = _drawn({"noisy": noise}, seed)["noisy"]
            _check(others.see(noisy, level, *condition), parts.see(noisy, level, *condition), backend)


@torch.inference_mode()
def _checked(act: Act, plain: Act, example: dict[str, Tensor], noise: Tensor, backend: str) -> Act:
    for seed in SEEDS:
        inputs, given = _drawn(example, seed), _drawn({"noise": noise}, seed)["noise"]
        _check((act(inputs, given, None),), (plain(inputs, given, None),), backend)
    return act


def _drawn(example: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Random numbers in the shapes of an example; masks as they are."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value if value.dtype == torch.bool else torch.randn(value.shape, generator=generator).to(value.device)
        for name, value in example.items()
    }


def _check(got: tuple[Tensor, ...], wanted: tuple[Tensor, ...], backend: str) -> None:
    for a, b in zip(got, wanted, strict=True):
        error = (a.float() - b.float()).square().mean().sqrt() / b.float().square().mean().sqrt().clamp(min=1e-6)
        if not float(error) <= TOLERANCE[backend]:
            raise ValueError(
                f"backend '{backend}' differs from plain torch by {float(error):.1%} of the output (allowed "
                f"{TOLERANCE[backend]:.1%}): choose backend 'eager' for this policy"
            )


def captured(act: Act, example: dict[str, Tensor], noise: Tensor) -> Act:
    """All of `act` as one CUDA graph: a single launch per chunk."""
    fixed, start = {name: value.clone() for name, value in example.items()}, noise.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(3):
            act(fixed, start, None)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        result = act(fixed, start, None)

    def replay(
        inputs: dict[str, Tensor], given: Tensor, generator: torch.Generator | None, guide: Guide | None = None
    ) -> Tensor:
        for name, value in inputs.items():
            fixed[name].copy_(value)
        start.copy_(given)
        graph.replay()
        return result.clone()

    return replay
