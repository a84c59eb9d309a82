"""Frames as H.264 in mp4 files: the episodes of a view end to end, in as many files as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from insertion_vla_training.exporters import lerobot_layout as layout
from insertion_vla_training.exporters.pictures import decoded

CODEC, PIXELS = "libx264", "yuv420p"
QUALITY = "18"  # constant rate factor
KEY_EVERY = 2  # frames; random access decodes at most one more
MB = 1 << 20


class ViewVideo:
    """The files of one view while they are written.

    Raises:
        ValueError: the codec cannot take images of that size.
    """

    def __init__(self, folder: Path, key: str, fps: int, width: int, height: int) -> None:
        if width % 2 or height % 2:
            raise ValueError(
                f"expected images of even width and height for a video, got {width} x {height}; export without --videos"
            )
        self._folder, self._key, self._fps, self._size = folder, key, fps, (width, height)
        self._file = -1
        self._next_file()

    def add_episode(self, jpegs: Sequence[bytes]) -> dict[str, Any]:
        """One episode's frames; gives the columns that say where they are."""
        if self._frames and self._path.stat().st_size > layout.VIDEO_FILE_MB * MB:
            self.close()
            self._next_file()
        start = self._frames
        for jpeg in jpegs:
            frame = av.VideoFrame.from_ndarray(decoded(jpeg), format="rgb24")
            frame.pts = self._frames
            self._container.mux(self._video.encode(frame))
            self._frames += 1
        chunk, file = divmod(self._file, layout.CHUNK_FILES)
        place = f"videos/{self._key}"
        return {
            f"{place}/chunk_index": chunk,
            f"{place}/file_index": file,
            f"{place}/from_timestamp": start / self._fps,
            f"{place}/to_timestamp": self._frames / self._fps,
        }

    def close(self) -> None:
        """Finish the file."""
        self._container.mux(self._video.encode(None))
        self._container.close()

    def _next_file(self) -> None:
        self._file += 1
        self._frames = 0
        chunk, file = divmod(self._file, layout.CHUNK_FILES)
        name = layout.VIDEO_PATH.format(video_key=self._key, chunk_index=chunk, file_index=file)
        self._path = self._folder / name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._path), "w", format="mp4")
        options = {"crf": QUALITY, "g": str(KEY_EVERY), "threads": "1", "bf": "0"}
        video: Any = self._container.add_stream(CODEC, rate=self._fps, options=options)
        (video.width, video.height), video.pix_fmt = self._size, PIXELS
        video.codec_context.time_base = Fraction(1, self._fps)
        self._video = video
