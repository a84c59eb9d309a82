"""Images that are no pictures (depth, labels) turned into pictures."""

import colorsys

import numpy as np

from cv_bridge.color import change_depth, cvtColor2
from cv_bridge.encodings import Family, parse

LABEL_ENCODING = "32SC1"
GOLDEN_RATIO = 0.618033988749895


def cvtColorForDisplay(
    source: np.ndarray,
    encoding_in: str,
    encoding_out: str = "",
    do_dynamic_scaling: bool = False,
    min_image_value: float = 0.0,
    max_image_value: float = 0.0,
) -> np.ndarray:
    """An 8-bit picture of any image.

    Args:
        source: (height, width) or (height, width, channels).
        encoding_in: Its encoding. 32SC1 is an image of labels: each label gets a colour, negative ones stay black.
        encoding_out: mono8, rgb8, bgr8, rgba8 or bgra8; by default mono8 for one channel and bgr8 for more.
        do_dynamic_scaling: Stretch values from [min_image_value, max_image_value] to the full range.
        min_image_value, max_image_value: The range; both equal takes the image's own.

    Raises:
        RuntimeError: The encodings have no picture.
    """
    source_encoding = parse(encoding_in)
    if not encoding_out:
        encoding_out = "mono8" if source_encoding.channels == 1 and encoding_in != LABEL_ENCODING else "bgr8"
    target = parse(encoding_out)
    if target.depth != "8U" or target.family not in (Family.GRAY, Family.RGB, Family.BGR, Family.RGBA, Family.BGRA):
        raise RuntimeError(f"expected mono8, rgb8, bgr8, rgba8 or bgra8 to display, got [{encoding_out}]")
    if encoding_in == LABEL_ENCODING and target.family is not Family.GRAY:
        return cvtColor2(_label_colours(source), "bgr8", encoding_out)
    if source_encoding.family is not Family.NONE and not do_dynamic_scaling:
        return cvtColor2(source, encoding_in, encoding_out)
    if source_encoding.channels == 1:
        scaled = _stretch(source, min_image_value, max_image_value)
        return cvtColor2(scaled, "mono8", encoding_out)
    if source_encoding.channels == target.channels:
        return change_depth(source, source_encoding.depth, "8U").copy()
    raise RuntimeError(f"cannot display [{encoding_in}] as [{encoding_out}]: the numbers of channels differ")


def _stretch(source: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values from [low, high] to 0..255 as uint8; values that are not finite become 0."""
    values = np.asarray(source, dtype=np.float64).reshape(source.shape[:2])
    finite = np.isfinite(values)
    if low == high and finite.any():
        low, high = float(values[finite].min()), float(values[finite].max())
    span = high - low if high > low else 1.0
    scaled = np.clip((np.where(finite, values, low) - low) / span, 0.0, 1.0)
    return np.rint(np.where(finite, scaled, 0.0) * 255.0).astype(np.uint8)


def _label_colours(labels: np.ndarray) -> np.ndarray:
    """(height, width, 3) BGR: label 0 white, the others hues far apart from their neighbours'."""
    flat, index = np.unique(labels, return_inverse=True)
    palette = np.zeros((len(flat), 3), dtype=np.uint8)
    for row, label in enumerate(flat):
        if label >= 0:
            saturation = 0.0 if label == 0 else 1.0
            red, green, blue = colorsys.hsv_to_rgb((label * GOLDEN_RATIO) % 1.0, saturation, 1.0)
            palette[row] = np.rint(np.array([blue, green, red]) * 255)
    return palette[index.reshape(labels.shape[:2])]
