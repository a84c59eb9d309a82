"""JPEG frames pushed over ZMQ: multipart [JSON {camera, timestamp, size}, JPEG]."""

import time

import zmq
from insertion_vla_core.clock import ClockOffset
from insertion_vla_core.wire.camera_zmq import decode
from insertion_vla_core.wire.errors import WireError

from insertion_vla.cameras.frame import Frame

MAX_BYTES = 16 << 20  # a JPEG of 16 MiB is none of ours


class ZmqSource:
    """Binds a PULL socket and passes on the frames of one camera; stamps are moved from the sender's clock to ours."""

    def __init__(self, address: str, camera: str) -> None:
        self.address, self.camera = address, camera
        self.clock = ClockOffset()
        self._socket: zmq.Socket | None = None
        self._context: zmq.Context | None = None
        self._counts = {"malformed messages": 0, "frames of other cameras": 0}

    def open(self) -> None:
        self.close()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 4)  # the newest frames matter, not the backlog
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        try:
            self._socket.bind(self.address)
        except zmq.ZMQError as error:
            self.close()
            raise OSError(
                f"cannot bind {self.address} for camera '{self.camera}': {error.strerror}; is another camera node on "
                "this port, or is the address not one of this machine's?"
            ) from None

    def read(self, timeout_s: float) -> Frame | None:
        assert self._socket is not None
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0.0:
            if not self._socket.poll(max(1, round(left_s * 1e3))):
                return None
            parts = self._socket.recv_multipart()
            received_ns = time.time_ns()
            try:
                frame = decode(parts, MAX_BYTES)
            except WireError:
                self._counts["malformed messages"] += 1
                continue
            if frame.camera != self.camera:
                self._counts["frames of other cameras"] += 1
                continue
            self.clock.update(frame.timestamp_s, received_ns * 1e-9)
            return Frame(int(self.clock.to_local_s(frame.timestamp_s) * 1e9), jpeg=frame.jpeg)
        return None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._context is not None:
            self._context.term()
        self._socket = self._context = None

    def counters(self) -> dict[str, int]:
        return dict(self._counts)
