"""The parts of a model in ONNX Runtime: exported in memory, float32 or with 8-bit weights in the steps."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from insertion_vla_policy.network import Part, Parts


def onnx_parts(
    parts: Parts, inputs: dict[str, Tensor], noise: Tensor, level: Tensor, int8: bool, threads: int
) -> Parts:
    """The same parts, computed by ONNX Runtime on the CPU.

    Args:
        parts: of a model in torch.
        inputs: examples, normalised, of one sample.
        noise: example (N, horizon, channels).
        level: example (1, layers, 4, hidden); without effect for regression.
        int8: 8-bit weights where they count: in the steps of diffusion, or in the one pass of regression.
        threads: of the runtime; 0 for its own choice.
    """
    given = tuple(inputs[name] for name in parts.names)
    observe = exported(parts.observe, given, list(parts.names), int8 and parts.see is None, threads)
    if parts.see is None:
        return Parts(parts.names, observe, None)
    with torch.inference_mode():
        condition = tuple(tensor.clone() for tensor in parts.observe(*given))
    names = ["noisy", "level", *(f"condition_{index}" for index in range(len(condition)))]
    see = exported(parts.see, (noise, level, *condition), names, int8, threads)
    return Parts(parts.names, observe, see)


def exported(part: Part, arguments: tuple[Tensor, ...], names: list[str], int8: bool, threads: int) -> Part:
    """One part as an ONNX Runtime session, for arguments of these shapes."""
    assert isinstance(part, nn.Module)
    with tempfile.TemporaryDirectory() as folder, silence():
        path = Path(folder) / "part.onnx"
        export(part, arguments, names, path)
        if int8:
            quantize_dynamic(path, path.with_suffix(".int8"), weight_type=QuantType.QInt8, per_channel=True)
            path = path.with_suffix(".int8")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    used = {entry.name for entry in session.get_inputs()}

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        feed = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True) if name in used}
        return tuple(torch.from_numpy(np.asarray(value)) for value in session.run(None, feed))

    return run


def export(part: nn.Module, arguments: tuple[Tensor, ...], names: list[str], path: Path) -> None:
    """Write an ONNX file."""
    with torch.no_grad():
        torch.onnx.export(
            part,
            tuple(argument.clone() for argument in arguments),
            path,
            input_names=names,
            external_data=False,
            verbose=False,
        )


@contextmanager
def silence() -> Iterator[None]:
    """Without the exporter's and the quantiser's remarks about themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
