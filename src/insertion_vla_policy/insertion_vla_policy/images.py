"""From camera pictures to a network's input: one code for the live node, the feature cache and training.

Torch-free. Two inputs: the batch of small pictures of `tiny_vl`, and the patches of Qwen2.5-VL's vision tower. The
latter follow transformers' PIL image processor to the last bit of the resize (Pillow's own bicubic, on bytes) and to
1e-6 after normalising; `docs/backbones.md` has timings.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from insertion_vla_policy.protocol import Image

Rgb = NDArray[np.uint8]


def decode_jpeg(data: bytes | NDArray[np.uint8]) -> Rgb:
    """RGB (height, width, 3) of a JPEG or PNG file's bytes; ValueError if they are no picture."""
    buffer = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    decoded = cv2.imdecode(buffer, cv2.IMREAD_COLOR) if buffer.size else None
    if decoded is None:
        raise ValueError(f"expected the bytes of a JPEG or PNG picture, got {buffer.size} bytes that are none")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def checked_views(images: list[Image], views: tuple[str, ...] = ()) -> list[Rgb]:
    """The pictures of the views, in order.

    Args:
        images: one per view.
        views: names and order that the backbone was made for; empty takes them as they come.

    Raises:
        ValueError: no images, other views than expected, or a picture that is not RGB bytes.
    """
    if not images:
        raise ValueError("expected at least one image, got none: start the cameras")
    names = tuple(image.view for image in images)
    if views and names != views:
        raise ValueError(
            f"expected the views {', '.join(views)} in this order, got {', '.join(names)}: "
            "use a backbone that was made for these views, or set the node's views"
        )
    for image in images:
        rgb = image.rgb
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise ValueError(f"expected view '{image.view}' as uint8 height x width x 3; got {rgb.dtype} {rgb.shape}")
    return [image.rgb for image in images]


def small_batch(pictures: list[Rgb], width: int, height: int) -> NDArray[np.float32]:
    """Pictures (n, height, width, 3) in -1..1, each resized to width x height if it has another size."""
    batch = np.empty((len(pictures), height, width, 3), np.float32)
    for row, picture in zip(batch, pictures, strict=True):
        if picture.shape[:2] != (height, width):
            shrinks = picture.shape[0] > height
            picture = cv2.resize(
                picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            )  # type: ignore[assignment]
        np.multiply(picture, np.float32(1.0 / 127.5), out=row)
        row -= 1.0
    return batch


@dataclass(frozen=True)
class PatchSettings:
    """How Qwen2.5-VL cuts a picture; the defaults are those of its published preprocessor_config.json.

    Attributes:
        min_pixels, max_pixels: the picture is scaled to an area between these.
        patch: edge of a patch [pixels].
        merge: patches along each side of one visual token.
        mean, std: of the normalisation, RGB, for values 0..1.
    """

    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 1280
    patch: int = 14
    merge: int = 2
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing: multiples of patch * merge, the area within the limits.

        Raises:
            ValueError: a picture more than 200 times as long as wide.
        """
        if max(height, width) > 200 * min(height, width):
            raise ValueError(f"expected a picture no more than 200 times as long as wide, got {width}x{height}")
        unit = self.patch * self.merge
        rows, columns = round(height / unit), round(width / unit)
        if rows * columns * unit * unit > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            rows, columns = (max(1, math.floor(side / shrink / unit)) for side in (height, width))
        elif rows * columns * unit * unit < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            rows, columns = (math.ceil(side * grow / unit) for side in (height, width))
        return rows * unit, columns * unit


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of some pictures, one after the other.

    Attributes:
        values: (n, 3 * patch * patch) float32, channel first. One frame: a still picture stands twice in the tower's
            pair of frames, which the tower's weights can do instead.
        grids: (pictures, 2) rows and columns of patches.
    """

    values: NDArray[np.float32]
    grids: NDArray[np.int64]


def cut_patches(pictures: list[Rgb], settings: PatchSettings = PatchSettings()) -> Patches:
    """Resizes, cuts and normalises; the patches of a visual token stand together, tokens row by row."""
    grids = np.array([settings.size(*picture.shape[:2]) for picture in pictures], np.int64) // settings.patch
    values = np.empty((int(grids.prod(axis=1).sum()), 3, settings.patch**2), np.float32)
    scale = (1.0 / (255.0 * np.array(settings.std))).astype(np.float32)[:, None]
    shift = (np.array(settings.mean) / np.array(settings.std)).astype(np.float32)[:, None]
    start = 0
    for picture, (rows, columns) in zip(pictures, grids.tolist(), strict=True):
        out = values[start : start + rows * columns]
        np.multiply(_cut(_resized(picture, rows, columns, settings.patch), settings), scale, out=out)
        out -= shift
        start += rows * columns
    return Patches(values.reshape(len(values), -1), grids)


def _resized(picture: Rgb, rows: int, columns: int, patch: int) -> Rgb:
    size = (columns * patch, rows * patch)
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(PilImage.fromarray(picture).resize(size, PilImage.Resampling.BICUBIC))


def _cut(picture: Rgb, settings: PatchSettings) -> Rgb:
    """(patches, 3, patch * patch) bytes; moving bytes is four times cheaper than moving floats."""
    patch, merge = settings.patch, settings.merge
    rows, columns = picture.shape[0] // patch, picture.shape[1] // patch
    tokens = picture.reshape(rows // merge, merge, patch, columns // merge, merge, patch, 3)
    return tokens.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, 3, patch * patch)
