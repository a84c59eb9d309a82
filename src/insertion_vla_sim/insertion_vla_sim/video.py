"""Videos of the simulation: MP4 through OpenCV, animated GIF through Pillow, chosen by the file's ending."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from PIL import Image

ENDINGS = (".mp4", ".gif")
GIF_COLOURS = 256


def side_by_side(views: Mapping[str, np.ndarray], caption: str = "") -> np.ndarray:
    """One frame (h, w, 3) uint8 RGB of images of equal height, named in their corners, with a caption below left."""
    labelled = []
    for name, image in views.items():
        image = image.copy()
        _write(image, name, (8, 18))
        labelled.append(image)
    frame = np.hstack(labelled)
    if caption:
        _write(frame, caption, (8, frame.shape[0] - 10))
    return frame


def _write(image: np.ndarray, text: str, corner: tuple[int, int]) -> None:
    x, y = corner
    for where, colour in (((x + 1, y + 1), (0, 0, 0)), ((x, y), (255, 255, 255))):
        cv2.putText(image, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


class VideoWriter:
    """Writes frames to a file. Use it as a context manager, or call `close`; a GIF appears on close."""

    def __init__(self, path: str | Path, fps: float) -> None:
        """Raises ValueError for an ending other than .mp4 or .gif, or a folder that does not exist."""
        self.path = Path(path)
        if self.path.suffix.lower() not in ENDINGS:
            raise ValueError(f"expected a video file ending in {' or '.join(ENDINGS)}, got {self.path}")
        if not self.path.parent.is_dir():
            raise ValueError(f"expected an existing folder for the video, got {self.path.parent}")
        if not fps > 0.0:
            raise ValueError(f"expected a positive frame rate, got {fps}")
        self._fps = fps
        self._mp4: cv2.VideoWriter | None = None
        self._gif: list[bytes] = []  # frames as PNG: Pillow wants them all at once, and raw they would fill the memory
        self._shape: tuple[int, ...] | None = None

    def add(self, frame: np.ndarray) -> None:
        """Append a frame (h, w, 3) uint8 RGB; all frames have the size of the first."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"expected a frame (height, width, 3) uint8, got {frame.dtype} {frame.shape}")
        self._shape = self._shape or frame.shape
        if frame.shape != self._shape:
            raise ValueError(f"expected frames of the first one's shape {self._shape}, got {frame.shape}")
        if self.path.suffix.lower() == ".gif":
            png = io.BytesIO()
            Image.fromarray(frame).quantize(GIF_COLOURS, dither=Image.Dither.NONE).save(png, "png", compress_level=1)
            self._gif.append(png.getvalue())
            return
        if self._mp4 is None:
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._mp4 = cv2.VideoWriter(str(self.path), codec, self._fps, (frame.shape[1], frame.shape[0]))
            if not self._mp4.isOpened():
                raise ValueError(f"OpenCV cannot write {self.path}: is the folder writable? Try a .gif instead")
        self._mp4.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file. Without a single frame there is none."""
        if self._mp4 is not None:
            self._mp4.release()
            self._mp4 = None
        if self._gif:
            first, *rest = self._gif
            later = (Image.open(io.BytesIO(png)) for png in rest)
            Image.open(io.BytesIO(first)).save(
                self.path, save_all=True, append_images=later, duration=round(1000.0 / self._fps), loop=0
            )
            self._gif = []

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
