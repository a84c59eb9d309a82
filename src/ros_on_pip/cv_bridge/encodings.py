"""What the image encodings of sensor_msgs/image_encodings.hpp mean: numpy type, channels and colour family."""

import re
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

DEPTH_NAMES = {
    "8U": "uint8",
    "8S": "int8",
    "16U": "uint16",
    "16S": "int16",
    "32S": "int32",
    "32F": "float32",
    "64F": "float64",
}
NUMPY_OF_DEPTH = {getattr(cv2, f"CV_{name}"): dtype for name, dtype in DEPTH_NAMES.items()}
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?")
MAX_CHANNELS = 128  # OpenCV's limit in its type numbers


class Family(Enum):
    """Order and meaning of the channels."""

    NONE = ""
    GRAY = "GRAY"
    RGB = "RGB"
    BGR = "BGR"
    RGBA = "RGBA"
    BGRA = "BGRA"
    UYVY = "UYVY"
    YUYV = "YUYV"
    # OpenCV names a Bayer pattern by its second row, ROS by its first.
    BAYER_RGGB = "BayerBG"
    BAYER_BGGR = "BayerRG"
    BAYER_GBRG = "BayerGR"
    BAYER_GRBG = "BayerGB"


@dataclass(frozen=True)
class Encoding:
    """One encoding: depth as in '8U', number of channels, colour family (NONE for generic types like 32FC1)."""

    name: str
    depth: str
    channels: int
    family: Family

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(DEPTH_NAMES[self.depth])

    @property
    def cv_type(self) -> int:
        return cv2.CV_MAKETYPE(getattr(cv2, f"CV_{self.depth}"), self.channels)


def _named() -> dict[str, Encoding]:
    table = [
        ("yuv422", "8U", 2, Family.UYVY),
        ("uyvy", "8U", 2, Family.UYVY),
        ("yuv422_yuy2", "8U", 2, Family.YUYV),
        ("yuyv", "8U", 2, Family.YUYV),
    ]
    for bits in (8, 16):
        table += [
            (f"mono{bits}", f"{bits}U", 1, Family.GRAY),
            (f"rgb{bits}", f"{bits}U", 3, Family.RGB),
            (f"bgr{bits}", f"{bits}U", 3, Family.BGR),
            (f"rgba{bits}", f"{bits}U", 4, Family.RGBA),
            (f"bgra{bits}", f"{bits}U", 4, Family.BGRA),
        ]
        for pattern in ("rggb", "bggr", "gbrg", "grbg"):
            table.append((f"bayer_{pattern}{bits}", f"{bits}U", 1, Family[f"BAYER_{pattern.upper()}"]))
    return {row[0]: Encoding(*row) for row in table}


NAMED = _named()


def parse(name: str) -> Encoding:
    """The encoding of that name; raises RuntimeError for one that is not known."""
    if name in NAMED:
        return NAMED[name]
    match = _GENERIC.fullmatch(name)
    channels = int(match[2] or 1) if match else 0
    if match is None or not 1 <= channels <= MAX_CHANNELS:
        raise RuntimeError(f"Unrecognized image encoding [{name}]")
    return Encoding(name, match[1], channels, Family.NONE)


def getCvType(encoding: str) -> int:
    """OpenCV's type number of an encoding, for example cv2.CV_8UC3 of 'bgr8'."""
    return parse(encoding).cv_type


def CV_MAT_DEPTHWrap(cv_type: int) -> int:
    """Depth part of an OpenCV type number, for example cv2.CV_8U of cv2.CV_8UC3."""
    return cv_type % _CHANNEL_STEP


def CV_MAT_CNWrap(cv_type: int) -> int:
    """Number of channels in an OpenCV type number."""
    return cv_type // _CHANNEL_STEP + 1


# 8 in OpenCV 4, 32 in OpenCV 5: how far apart the type numbers of n and n+1 channels are.
_CHANNEL_STEP = cv2.CV_8UC2 - cv2.CV_8UC1
