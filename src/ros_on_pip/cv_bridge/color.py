"""Conversion between encodings: colour order, gray, Bayer, YUV 4:2:2 and bit depth."""

import cv2
import numpy as np

from cv_bridge.encodings import Encoding, Family, parse

COLOURS = (Family.GRAY, Family.RGB, Family.BGR, Family.RGBA, Family.BGRA)
PACKED_YUV = (Family.UYVY, Family.YUYV)
FULL_SCALE = {"8U": 255.0, "16U": 65535.0}


def cvtColor2(image: np.ndarray, encoding_in: str, encoding_out: str) -> np.ndarray:
    """A new image in `encoding_out`, (height, width) for one channel, else (height, width, channels).

    Between 8 and 16 bits, values are scaled to the full range; other depth changes saturate.

    Raises:
        RuntimeError: An encoding is not known, or the conversion makes no sense.
    """
    source, target = parse(encoding_in), parse(encoding_out)
    if source.name == target.name:
        return image.copy()
    code = _colour_code(source, target)
    out = image
    if code is not None:
        out = cv2.cvtColor(np.ascontiguousarray(image), code)
    out = change_depth(out, source.depth, target.depth)
    if out is image:
        out = image.copy()
    return out[:, :, 0] if out.ndim == 3 and out.shape[2] == 1 else out


def _colour_code(source: Encoding, target: Encoding) -> int | None:
    """OpenCV's conversion code, None where only the depth may change."""
    if source.family is Family.NONE and target.family is not Family.NONE:
        raise RuntimeError(
            f"[{source.name}] is not a color format, but [{target.name}] is: the conversion does not make sense"
        )
    if Family.NONE in (source.family, target.family):
        if source.channels != target.channels:
            raise RuntimeError(f"[{source.name}] and [{target.name}] do not have the same number of channels")
        return None
    if source.family is target.family:
        return None
    name = _code_name(source.family, target.family)
    if name is None or not hasattr(cv2, name):
        raise RuntimeError(f"Unsupported conversion from [{source.name}] to [{target.name}]")
    return getattr(cv2, name)


def _code_name(source: Family, target: Family) -> str | None:
    if source in COLOURS and target in COLOURS:
        return f"COLOR_{source.value}2{target.value}"
    if source in PACKED_YUV and target in COLOURS:
        return f"COLOR_YUV2{target.value}_{source.value}"
    if source in COLOURS[1:] and target in PACKED_YUV:
        return f"COLOR_{source.value}2YUV_{target.value}"
    if source.name.startswith("BAYER") and target in (Family.GRAY, Family.RGB, Family.BGR):
        return f"COLOR_{source.value}2{target.value}"
    return None


def change_depth(image: np.ndarray, depth_in: str, depth_out: str) -> np.ndarray:
    """`image` with another element type, scaled between 8U and 16U, otherwise rounded and saturated."""
    if depth_in == depth_out:
        return image
    target = parse(depth_out).dtype
    if depth_in in FULL_SCALE and depth_out in FULL_SCALE:
        scale = FULL_SCALE[depth_out] / FULL_SCALE[depth_in]
        return np.rint(image * scale).astype(target)
    if target.kind == "f":
        return image.astype(target)
    limits = np.iinfo(target)
    whole = np.rint(image) if image.dtype.kind == "f" else image.astype(np.int64)
    return np.clip(whole, limits.min, limits.max).astype(target)
