"""Are the pictures pictures? Every image is decoded once: sharpness, a hash of its pixels, and thumbnails.

Sharpness is the variance of the Laplacian after a small blur that takes the sensor's noise out. It depends on the
scene, so it is compared with the view's own median over the data set (inspect_bounds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.inspection.check import Check, judged

HASH_BYTES = 8
BLURRY_SHARE = 0.05
NS = 1e9

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ViewMeasure:
    """What the images of one view say.

    Attributes:
        stamps, receive: (n,) ns.
        sharpness: (n,) variance of the Laplacian, NaN where the image cannot be decoded.
        hashes: (n,) of the pixels, hex; "" where it cannot be decoded.
        kept: pictures (h, w, 3) RGB by index.
    """

    stamps: NDArray[np.int64]
    receive: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    hashes: tuple[str, ...]
    kept: dict[int, Picture]


def measure_view(
    stamps: NDArray[np.int64], receive: NDArray[np.int64], images: Sequence[bytes], keep: Collection[int]
) -> ViewMeasure:
    """Decode all images (n JPEGs); those with the indexes `keep`, and the least sharp one, are kept as pictures."""
    sharpness, hashes = np.full(len(images), np.nan), []
    kept: dict[int, Picture] = {}
    for index, data in enumerate(images):
        picture = decode(data)
        hashes.append("" if picture is None else pixel_hash(picture))
        if picture is None:
            continue
        sharpness[index] = sharpness_of(picture)
        if index in keep:
            kept[index] = picture
    if np.isfinite(sharpness).any():
        least = int(np.nanargmin(sharpness))
        picture = decode(images[least])
        if picture is not None:
            kept[least] = picture
    return ViewMeasure(stamps, receive, sharpness, tuple(hashes), kept)


def decode(data: bytes) -> Picture | None:
    """The pixels (h, w, 3) RGB of a JPEG, None if it is none."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    return None if bgr is None else np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)


def sharpness_of(picture: Picture) -> float:
    """Variance of the Laplacian of the grey image, without the sensor's noise."""
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (3, 3), 0.8)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def pixel_hash(picture: Picture) -> str:
    """The same for the same pixels only."""
    return hashlib.blake2b(picture, digest_size=HASH_BYTES).hexdigest()


def check_decoded(view: str, measure: ViewMeasure) -> Check:
    """Images that are no pictures."""
    broken = int(np.count_nonzero(~np.isfinite(measure.sharpness)))
    return judged(
        "decodable", view, broken, (None, 0.0), "images",
        f"{broken} of {len(measure.hashes)} images of '{view}' cannot be decoded",
        "the camera or its link damages them; leave this episode out",
    )  # fmt: skip


def check_frozen(view: str, measure: ViewMeasure, max_age_s: float) -> Check:
    """The longest time over which the very same picture came again and again with new stamps."""
    longest_s, at_ns = frozen(measure)
    where = f", {(at_ns - int(measure.stamps[0])) / NS:.1f} s after its first image" if longest_s else ""
    return judged(
        "frozen", view, longest_s, (None, max_age_s), "s",
        f"'{view}' repeated one picture for {longest_s:.3g} s{where}",
        "the camera or its driver hangs and sends old images under new stamps; restart it",
    )  # fmt: skip


def frozen(measure: ViewMeasure) -> tuple[float, int]:
    """The longest stretch [s] of equal pictures, and when [ns] it began."""
    longest, began, start = 0, 0, 0
    for index in range(1, len(measure.hashes)):
        if not measure.hashes[index] or measure.hashes[index] != measure.hashes[index - 1]:
            start = index
        length = int(measure.stamps[index] - measure.stamps[start])
        if length > longest:
            longest, began = length, int(measure.stamps[start])
    return longest / NS, began


def check_blurry(view: str, sharpness: NDArray[np.float64], times_s: NDArray[np.float64], least: float) -> Check:
    """The share of images that are less sharp than `least`.

    Args:
        view: its name.
        sharpness: (n,) of its images, NaN for none.
        times_s: (n,) since the start of the episode.
        least: what the data set says is still sharp.
    """
    blurry = np.isfinite(sharpness) & (sharpness < least)
    share = float(blurry.mean()) if len(blurry) else 0.0
    where = f", the first {times_s[np.argmax(blurry)]:.1f} s after the start" if blurry.any() else ""
    return judged(
        "blurry", view, share, (None, BLURRY_SHARE), "share",
        f"{int(blurry.sum())} of {len(blurry)} images of '{view}' are blurry (sharpness below {least:.3g}){where}",
        "look at them: out of focus, a dirty lens, or too slow a shutter",
    )  # fmt: skip
