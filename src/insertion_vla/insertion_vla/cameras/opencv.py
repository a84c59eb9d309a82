"""Cameras that OpenCV opens: a V4L2 index or device, an RTSP or HTTP stream, a video file."""

import time
from pathlib import Path

import cv2
import numpy as np

from insertion_vla.cameras.frame import JPEG_END, JPEG_START, Frame

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 2000


class OpenCvSource:
    """One cv2.VideoCapture. V4L2 cameras are asked for MJPG, and its JPEG buffers are passed on as they come."""

    def __init__(self, device: str, rate_hz: float, width: int, height: int, loop: bool) -> None:
        """Width and height of 0 leave the camera's own size; the rate paces video files and is asked of V4L2."""
        self.device, self.rate_hz, self.size, self.loop = device, rate_hz, (width, height), loop
        self.is_stream = "://" in device
        self.is_v4l2 = not self.is_stream and (device.isdecimal() or device.startswith("/dev/"))
        self._capture: cv2.VideoCapture | None = None
        self._due_s = 0.0
        self._counts = {"failed reads": 0}

    def open(self) -> None:
        self.close()
        if self.is_v4l2:
            target = int(self.device) if self.device.isdecimal() else self.device
            self._capture = cv2.VideoCapture(target, cv2.CAP_V4L2)
        elif self.is_stream:
            timeouts = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                OPEN_TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                READ_TIMEOUT_MS,
            ]
            self._capture = cv2.VideoCapture(self.device, cv2.CAP_FFMPEG, timeouts)
        elif Path(self.device).is_file():
            self._capture = cv2.VideoCapture(self.device)
        if self._capture is None or not self._capture.isOpened():
            self.close()
            raise OSError(
                f"cannot open camera '{self.device}': expected a V4L2 index (0) or device (/dev/video0), a stream "
                "(rtsp://...) or a video file; is it plugged in, and may this user read it (group video)?"
            )
        if self.is_v4l2:
            self._set_up_v4l2(self._capture)
        self._due_s = time.monotonic()

    def _set_up_v4l2(self, capture: cv2.VideoCapture) -> None:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        for prop, value in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), self.size, strict=True):
            if value:
                capture.set(prop, value)
        capture.set(cv2.CAP_PROP_FPS, self.rate_hz)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG"):
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def read(self, timeout_s: float) -> Frame | None:
        assert self._capture is not None
        if not self.is_v4l2 and not self.is_stream:
            wait_s = self._due_s - time.monotonic()
            time.sleep(min(max(0.0, wait_s), timeout_s))
            if wait_s > timeout_s:
                return None
            self._due_s = max(self._due_s + 1.0 / self.rate_hz, time.monotonic())
        if not self._capture.grab():
            return self._nothing(timeout_s)
        stamp_ns = time.time_ns()
        ok, data = self._capture.retrieve()
        if not ok or data is None:
            return self._nothing(timeout_s)
        if data.ndim == 3 and data.shape[2] == 3:
            return Frame(stamp_ns, pixels=data)
        jpeg = _trimmed(data)
        if jpeg is None:
            self._counts["failed reads"] += 1
            return None
        return Frame(stamp_ns, jpeg=jpeg)

    def _nothing(self, timeout_s: float) -> None:
        """A video file has ended: begin again or be silent. A camera is gone: open it again."""
        assert self._capture is not None
        if self.is_v4l2 or self.is_stream:
            self._counts["failed reads"] += 1
            raise OSError(f"camera '{self.device}' sends no frames any more")
        if not (self.loop and self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)):
            time.sleep(timeout_s)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
        self._capture = None

    def counters(self) -> dict[str, int]:
        return dict(self._counts)


def _trimmed(data: np.ndarray) -> bytes | None:
    """The JPEG in a V4L2 buffer, which may be padded behind its end mark; None if it holds none."""
    raw = data.tobytes()
    end = raw.rfind(JPEG_END)
    return raw[: end + 2] if raw.startswith(JPEG_START) and end > 0 else None
