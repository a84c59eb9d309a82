"""The lab's robot-state publisher: ZMQ PUB, 100 Hz."""

from __future__ import annotations

from collections.abc import Callable

import zmq
from insertion_vla_core.kinematics import forward
from insertion_vla_core.wire.state_zmq import RobotState, encode

from insertion_vla_sim.controller import RobotController

from .device_clock import stamp
from .io_loop import IoLoop
from .ports import ROBOT_STATE

RATE_HZ = 100.0


class RobotStatePublisher:
    """Publishes measured joints and flange pose; lives in the I/O thread."""

    def __init__(self, loop: IoLoop, host: str, controller: RobotController, measured_s: Callable[[], float]) -> None:
        """Bind to host:5556; `measured_s` gives the device time of the controller's newest joint state.

        Raises:
            OSError: the address cannot be used.
        """
        self._controller, self._measured_s = controller, measured_s
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 100)
        try:
            self._socket.bind(f"tcp://{host}:{ROBOT_STATE}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise OSError(error.errno, f"cannot publish on {host}:{ROBOT_STATE} ({error.strerror})") from error
        loop.every(1.0 / RATE_HZ, self._publish)

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(linger=0)

    def _publish(self) -> None:
        q = self._controller.q
        state = RobotState(self._measured_s(), stamp(), q, forward(self._controller.arm, q))
        self._socket.send_multipart(encode(state), zmq.NOBLOCK)
