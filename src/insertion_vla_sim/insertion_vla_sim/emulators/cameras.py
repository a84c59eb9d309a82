"""The cameras on the wire: one ZMQ PUSH socket per view, two-part messages of JSON header and JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import zmq
from insertion_vla_core.wire.camera_zmq import encode
from numpy.typing import NDArray

from insertion_vla_sim.scene import VIEWS

from .ports import FIRST_CAMERA

PERIOD_S = 0.2
JPEG_QUALITY = 90


class CameraEmulator:
    """Pushes frames; a frame that nobody takes is dropped, as a camera would.

    Attributes:
        sent, dropped: frames per view.
    """

    def __init__(self, host: str) -> None:
        """Connect one socket per view to host:5561 and following; receivers bind."""
        self.sent = dict.fromkeys(VIEWS, 0)
        self.dropped = dict.fromkeys(VIEWS, 0)
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        for i, view in enumerate(VIEWS):
            push = self._context.socket(zmq.PUSH)
            push.setsockopt(zmq.LINGER, 0)
            push.setsockopt(zmq.SNDHWM, 2)
            push.setsockopt(zmq.IMMEDIATE, 1)
            push.setsockopt(zmq.RECONNECT_IVL, 50)
            push.connect(f"tcp://{host}:{FIRST_CAMERA + i}")
            self._sockets[view] = push

    def push(self, view: str, timestamp_s: float, jpeg: bytes) -> bool:
        """Send one frame taken at timestamp_s; False when nobody takes it."""
        try:
            self._sockets[view].send_multipart(encode(view, timestamp_s, jpeg), zmq.NOBLOCK)
        except zmq.Again:
            self.dropped[view] += 1
            return False
        self.sent[view] += 1
        return True

    def close(self) -> None:
        """Close the sockets."""
        self._context.destroy(linger=0)


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """Compress an RGB image (H, W, 3).

    Raises:
        RuntimeError: the encoder refused it.
    """
    good, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good:
        raise RuntimeError(f"OpenCV could not compress an image of shape {image.shape}")
    return bytes(data)
