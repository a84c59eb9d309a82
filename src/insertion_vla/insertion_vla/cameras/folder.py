"""A folder of pictures, played in the order of their names at a fixed rate."""

import time
from pathlib import Path

from insertion_vla.cameras.frame import JPEG_START, Frame

SUFFIXES = {".jpg", ".jpeg", ".png"}


class FolderSource:
    """Plays *.jpg and *.png files; JPEG files are passed on byte for byte. After the last it is silent, or loops."""

    def __init__(self, folder: str, rate_hz: float, loop: bool) -> None:
        self.folder, self.period_s, self.loop = Path(folder), 1.0 / rate_hz, loop
        self._files: list[Path] = []
        self._next = 0
        self._due_s = 0.0
        self._counts = {"unreadable files": 0}

    def open(self) -> None:
        if not self.folder.is_dir():
            raise OSError(f"expected a folder of pictures, got '{self.folder}'; name an existing folder")
        self._files = sorted(f for f in self.folder.iterdir() if f.suffix.lower() in SUFFIXES)
        if not self._files:
            raise OSError(f"expected *.jpg or *.png files in '{self.folder}', found none")
        self._next, self._due_s = 0, time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        wait_s = self._due_s - time.monotonic()
        if self._next >= len(self._files) or wait_s > timeout_s:
            time.sleep(timeout_s)
            return None
        time.sleep(max(0.0, wait_s))
        self._due_s = max(self._due_s + self.period_s, time.monotonic())
        path = self._files[self._next]
        self._next = (self._next + 1) % len(self._files) if self.loop else self._next + 1
        stamp_ns = time.time_ns()
        data = path.read_bytes()
        if data.startswith(JPEG_START):
            return Frame(stamp_ns, jpeg=data)
        import cv2  # here, because a folder of JPEG files does not need it
        import numpy as np

        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if pixels is None:
            self._counts["unreadable files"] += 1
            return None
        return Frame(stamp_ns, pixels=pixels)

    def close(self) -> None:
        self._files = []

    def counters(self) -> dict[str, int]:
        return dict(self._counts)
