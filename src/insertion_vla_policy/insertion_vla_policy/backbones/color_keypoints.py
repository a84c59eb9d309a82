"""Classical backbone: the tube of the instruction's colour in every view, as key points with a confidence.

No learning. Tokens are (2 * views, 8) float32, one row per view and key point:
    [view index, key point (0 mouth, 1 rear ring), u, v (0..1 across width and height), confidence 0..1, size, 0, 0]
`size` is the square root of the coloured area as a share of the image height. A key point that is not found has
confidence 0. The mouth is the centre of the dark opening; the rear point is where the coloured barrel meets the
painted ring, on the side of the tube that faces the camera.
"""

import hashlib
import inspect
import re
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from insertion_vla_policy.protocol import Features, Image

HUES_DEG = {"red": 0.0, "green": 125.0, "blue": 231.0}
HUE_TOLERANCE_DEG = 24.0
MIN_SATURATION = 0.45
MIN_VALUE = 0.10
MIN_BARREL_PX = 25
MIN_MOUTH_PX = 3
DARK_SHARE = 0.42  # an opening is darker than this share of its surroundings
OPENING_KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
SURROUNDED = 0.55  # of the opening's rim must be barrel
TOKEN_DIM = 8
STEP_PX = 0.25


def colour_of(instruction: str) -> str:
    """The one tube colour that an instruction names; ValueError if it names none or several."""
    named = [colour for colour in HUES_DEG if re.search(rf"\b{colour}\b", instruction.lower())]
    if len(named) != 1:
        raise ValueError(
            f"expected an instruction that names one of the colours {', '.join(HUES_DEG)}; "
            f"'{instruction}' names {' and '.join(named) or 'none'}: say 'insert the needle into the red trocar'"
        )
    return named[0]


class ColorKeypoints:
    """Backbone `color_keypoints`; see the module's docstring."""

    model_id = "color_keypoints"

    def __init__(self, calibration: str | Path | None = None) -> None:
        # The key points are pixels: calibration is the expert's business. The source is all that changes the features.
        self.model_hash = hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()[:16]

    def encode(self, images: list[Image], instruction: str) -> Features:
        """Key points of one image set; ValueError if the instruction names no colour or an image is not RGB."""
        started = time.perf_counter()
        hue = HUES_DEG[colour_of(instruction)]
        tokens = np.zeros((2 * len(images), TOKEN_DIM), np.float32)
        for index, image in enumerate(images):
            if image.rgb.ndim != 3 or image.rgb.shape[2] != 3 or image.rgb.dtype != np.uint8:
                raise ValueError(
                    f"expected view '{image.view}' as uint8 height x width x 3; got {image.rgb.dtype} {image.rgb.shape}"
                )
            tokens[2 * index : 2 * index + 2] = key_points(image.rgb, hue)
            tokens[2 * index : 2 * index + 2, 0] = index
        return Features(
            tokens=tokens,
            instruction=instruction,
            view_names=tuple(image.view for image in images),
            view_stamps_ns=tuple(image.stamp_ns for image in images),
            model_id=self.model_id,
            model_hash=self.model_hash,
            inference_s=time.perf_counter() - started,
        )


def key_points(rgb: NDArray[np.uint8], hue_deg: float) -> NDArray[np.float32]:
    """Rows (2, TOKEN_DIM) of the mouth and the rear point of the tube of a hue; the view index is left 0."""
    rows = np.zeros((2, TOKEN_DIM), np.float32)
    rows[1, 1] = 1.0
    coloured, value = colour_mask(rgb, hue_deg)
    barrel = largest_component(coloured)
    if barrel is None:
        return rows
    height, width = barrel.shape
    rows[:, 5] = np.sqrt(barrel.sum()) / height
    opening = find_opening(barrel, value)
    if opening is None:
        return rows
    mouth, dark = opening
    rows[0, 2:5] = mouth[0] / width, mouth[1] / height, min(1.0, dark.sum() / 12.0)
    rear = rear_edge(barrel, dark, mouth)
    if rear is not None:
        rows[1, 2:5] = rear[0] / width, rear[1] / height, min(1.0, float(np.linalg.norm(rear - mouth)) / 12.0)
    return rows


def colour_mask(rgb: NDArray[np.uint8], hue_deg: float) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """(mask of the hue, value channel 0..1), both (height, width)."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    away = np.abs((hsv[..., 0].astype(np.float32) * 2.0 - hue_deg + 180.0) % 360.0 - 180.0)
    value = hsv[..., 2].astype(np.float32) / 255.0
    mask = (away < HUE_TOLERANCE_DEG) & (hsv[..., 1] > MIN_SATURATION * 255) & (value > MIN_VALUE)
    return mask, value


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest connected part of a mask, None if it is too small to be a tube."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return labels == best if stats[best, cv2.CC_STAT_AREA] >= MIN_BARREL_PX else None


def find_opening(
    barrel: NDArray[np.bool_], value: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Centre (u, v) [pixels from the corner] and mask of the dark opening that the barrel's colour surrounds."""
    surround = cv2.morphologyEx(value, cv2.MORPH_CLOSE, OPENING_KERNEL)
    dark = value < DARK_SHARE * surround
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=4)
    best, best_score = None, 0.0
    for label in np.unique(labels[dilated(barrel)]):
        area = stats[label, cv2.CC_STAT_AREA]
        if label == 0 or not MIN_MOUTH_PX <= area <= barrel.sum():
            continue
        mask = labels == label
        rim = dilated(mask) & ~mask
        surrounded = float(barrel[rim].mean())
        if surrounded > SURROUNDED and surrounded * area > best_score:
            best, best_score = mask, surrounded * area
    if best is None:
        return None
    # Weights that fade towards the rim give a centre finer than a pixel.
    bright = float(np.median(surround[best]))
    weight = np.where(dilated(best), np.clip(0.6 * bright - value, 0.0, DARK_SHARE * bright), 0.0)
    ys, xs = np.nonzero(weight)
    w = weight[ys, xs]
    return np.array([(xs + 0.5) @ w, (ys + 0.5) @ w]) / w.sum(), best


def dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask grown by one pixel in all eight directions."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def rear_edge(
    barrel: NDArray[np.bool_], dark: NDArray[np.bool_], mouth: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Where the barrel ends on its middle line behind the mouth [pixels], None if the tube is seen end on."""
    ys, xs = np.nonzero(barrel | dark)
    middle = np.array([xs.mean(), ys.mean()]) + 0.5
    along = middle - mouth
    distance = float(np.linalg.norm(along))
    if distance < 2.0:
        return None
    along /= distance
    steps = np.arange(0.0, 6.0 * distance + 8.0, STEP_PX)
    line = mouth + steps[:, None] * along
    solid = cv2.remap(
        (barrel | dark).astype(np.float32),
        (line[:, 0] - 0.5).astype(np.float32),
        (line[:, 1] - 0.5).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).ravel()
    outside = np.flatnonzero(solid < 0.5)
    return line[outside[0]] if len(outside) else None
