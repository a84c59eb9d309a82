"""Recorded pictures as pixels."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """Pixels (H, W, 3), RGB; raises ValueError for bytes that are no whole picture."""
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"an image of {len(jpeg)} bytes cannot be decoded") from error
