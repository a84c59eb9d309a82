"""Frames as H.264 in mp4 files, one file per view with the episodes end to end."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from insertion_vla_training.exporters.pictures import decoded

CODEC, PIXELS = "libx264", "yuv420p"
QUALITY = "18"  # constant rate factor
KEY_EVERY = 2  # frames; random access decodes at most one more


class VideoFile:
    """One file while it is written; close it, or leave its context."""

    def __init__(self, path: Path, fps: int, width: int, height: int) -> None:
        if width % 2 or height % 2:
            raise ValueError(
                f"expected images of even width and height for a video, got {width} x {height}; export without --videos"
            )
        path.parent.mkdir(parents=True)
        self._container = av.open(str(path), "w", format="mp4")
        options = {"crf": QUALITY, "g": str(KEY_EVERY), "threads": "1", "bf": "0"}
        video: Any = self._container.add_stream(CODEC, rate=fps, options=options)
        self._video = video
        self._video.width, self._video.height, self._video.pix_fmt = width, height, PIXELS
        self._video.codec_context.time_base = Fraction(1, fps)
        self.frames = 0

    def add(self, jpeg: bytes) -> None:
        """One frame."""
        frame = av.VideoFrame.from_ndarray(decoded(jpeg), format="rgb24")
        frame.pts = self.frames
        self._container.mux(self._video.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        self._container.mux(self._video.encode(None))
        self._container.close()
