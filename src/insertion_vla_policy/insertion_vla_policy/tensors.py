"""Tensors from safetensors files, checked before use. Nothing here ever unpickles."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

PICKLES = (b"\x80", b"PK\x03\x04")  # how pickles and torch's zipped pickles begin


def load_tensors(path: str | Path, what: str) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        ValueError: a sentence: the file is missing, truncated, a pickle, or holds numbers that are none.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"expected {what} in {path}, there is no such file: copy the whole checkpoint folder")
    with path.open("rb") as stream:
        head = stream.read(9)
    if head.startswith(PICKLES) and head[8:] != b"{":  # safetensors: 8 bytes of length, then JSON
        raise ValueError(
            f"expected {what} as safetensors in {path}, got a pickle, which could run code: it is never loaded; save "
            "the tensors with safetensors.torch.save_file"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"expected {what} as safetensors in {path}, could not read it ({error}): the file is truncated or "
            "damaged, copy or save it again"
        ) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(
                f"expected finite numbers in {path}, got NaN or infinity in '{name}': the training run was broken, "
                "take an earlier checkpoint"
            )
    return tensors
