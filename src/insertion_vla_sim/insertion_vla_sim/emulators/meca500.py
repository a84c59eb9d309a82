"""Meca500 on the wire: control port 10000 and monitoring port 10001 in front of the robot controller.

Sockets live in the I/O thread. Commands are executed in the physics thread between two ticks, so the controller
needs no lock; replies, events and monitoring data go back to the I/O thread in one batch per tick.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from insertion_vla_sim import meca500_codes as codes
from insertion_vla_sim.controller import RobotController

from . import ports
from .io_loop import IoLoop, Mailbox
from .line_server import Connection, LineServer
from .meca500_monitoring import Snapshot, Status, cycle, message
from .meca500_protocol import WELCOME, Protocol

MAX_LINE = 8192
_STOPPING = ("pausemotion", "clearmotion", "deactivaterobot")


@dataclass
class WireTimes:
    """When motion commands came off the wire; monotonic seconds, None before the first.

    Attributes:
        velocity_commands: velocity commands received.
        last_velocity_s: newest velocity command.
        last_velocity_wall_s: the same on the wall clock.
        last_motion_s: newest velocity command that asks for motion.
        stop_s: first command after it that asks for rest.
        stop_command: that command.
    """

    velocity_commands: int = 0
    last_velocity_s: float | None = None
    last_velocity_wall_s: float | None = None
    last_motion_s: float | None = None
    stop_s: float | None = None
    stop_command: str | None = None

    def note(self, line: str, received_s: float) -> None:
        """Account for one command line."""
        name, _, arguments = line.lstrip("- ").partition("(")
        name = name.strip().lower()
        if name in ("movelinvelwrf", "movelinveltrf", "movejointsvel"):
            self.velocity_commands += 1
            self.last_velocity_s, self.last_velocity_wall_s = received_s, time.time()
            if any(c in "123456789" for c in arguments):
                self.last_motion_s, self.stop_s, self.stop_command = received_s, None, None
                return
        elif name not in _STOPPING:
            return
        if self.stop_s is None:
            self.stop_s, self.stop_command = received_s, line


class Meca500Emulator:
    """Both ports of one robot.

    Attributes:
        wire: timing of motion commands.
        silent: while True nothing is monitored (a controller that hangs without closing its sockets).
    """

    def __init__(self, loop: IoLoop, physics: Mailbox, host: str, controller: RobotController) -> None:
        """Listen on both ports of `host`.

        Raises:
            OSError: a port is taken.
        """
        self.wire = WireTimes()
        self.silent = False
        self._loop, self._physics, self._controller = loop, physics, controller
        self._protocol = Protocol(controller)
        self._status = Status.of(controller)
        self._monitor_due_s = 0.0
        self._client: Connection | None = None
        self._outgoing: list[str] = []
        self._broadcast: list[str] = []
        self._control = LineServer(
            loop,
            host,
            ports.MECA500_CONTROL,
            self._on_line,
            self._on_too_long,
            self._on_open,
            self._on_close,
            delimiters=(b"\0", b"\n"),
            max_line=MAX_LINE,
        )
        self._monitor = LineServer(
            loop,
            host,
            ports.MECA500_MONITORING,
            lambda _connection, _line: None,
            self._on_too_long,
            self._on_monitor_open,
            delimiters=(b"\0", b"\n"),
            max_line=MAX_LINE,
        )

    # ---- physics thread -------------------------------------------------------------------------------------

    def after_tick(self) -> None:
        """Collect what the controller has to say after a tick and hand it to the I/O thread."""
        controller, protocol = self._controller, self._protocol
        lines = protocol.drain()
        status = Status.of(controller)
        if status != self._status:
            self._status = status
            lines.append(protocol.status())
            self._broadcast.append(status.text())
        self._broadcast += [line for line in lines if line.startswith(("[3070]", "[3086]"))]
        self._outgoing += lines
        if self._outgoing or self._broadcast:
            self._hand_over(self._outgoing, self._broadcast)
            self._outgoing, self._broadcast = [], []
        if controller.time_s >= self._monitor_due_s:
            interval = protocol.interval_s
            behind = controller.time_s - self._monitor_due_s
            self._monitor_due_s += interval * (1 + int(behind / interval))
            if not self.silent and (self._monitor.connections or protocol.monitor_control_port):
                now, monitored = Snapshot.of(controller), tuple(protocol.monitored)
                on_control = protocol.monitor_control_port
                self._loop.post(lambda: self._send_cycle(now, monitored, on_control))

    def drop_connections(self) -> None:
        """Cut every TCP connection, as a pulled cable with a reset would."""
        self._loop.post(self._control.close_clients)
        self._loop.post(self._monitor.close_clients)

    def refuse_connections(self, refuse: bool) -> None:
        """Close new connections at once while refuse is True."""
        self._control.refuse = self._monitor.refuse = refuse

    def stats(self) -> dict[str, object]:
        """Wire times and connections, for the admin socket."""
        return {
            **asdict(self.wire),
            "controlled_by": self._client.peer if self._client else None,
            "monitors": len(self._monitor.connections),
            "monitoring_interval_s": self._protocol.interval_s,
        }

    def _execute(self, line: str) -> None:
        self._outgoing += self._protocol.execute(line)
        self._outgoing += self._protocol.drain()

    def _hand_over(self, lines: list[str], broadcast: list[str]) -> None:
        self._loop.post(lambda: self._send(lines, broadcast))

    def _connected(self) -> None:
        self._protocol.new_client()
        self._controller.connection_back()

    # ---- I/O thread -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close both ports."""
        self._control.close()
        self._monitor.close()

    def _on_open(self, connection: Connection) -> None:
        if self._client is not None:
            refusal = f"Another user is already connected ({self._client.peer}), closing connection."
            connection.send(_pack([message(codes.ANOTHER_USER, refusal)]))
            connection.close()
            return
        self._client = connection
        connection.send(_pack([WELCOME]))
        self._physics.post(self._connected)

    def _on_close(self, connection: Connection) -> None:
        if connection is self._client:
            self._client = None
            self._physics.post(self._protocol.new_client)
            self._physics.post(self._controller.connection_lost)

    def _on_line(self, connection: Connection, line: str) -> None:
        if line and connection is self._client:
            self.wire.note(line, time.monotonic())
            self._physics.post(lambda: self._execute(line))

    def _on_too_long(self, connection: Connection) -> None:
        text = f"Command string is too long (more than {MAX_LINE} characters) or its terminator is missing."
        connection.send(_pack([message(codes.COMMAND_TOO_LONG, text)]))

    def _on_monitor_open(self, connection: Connection) -> None:
        status = Status.of(self._controller)
        connection.send(_pack([WELCOME, status.text(), *self._protocol.safety()]))

    def _send(self, lines: list[str], broadcast: list[str]) -> None:
        if lines and self._client is not None:
            self._client.send(_pack(lines))
            if any(line == f"[{codes.CONNECTION_DROPPED}][{codes.STOP_ACTIVE}]" for line in lines):
                self._client.close()
        if broadcast:
            data = _pack(broadcast)
            for connection in list(self._monitor.connections):
                connection.send(data)

    def _send_cycle(self, now: Snapshot, monitored: tuple[int, ...], on_control: bool) -> None:
        data = _pack(cycle(monitored, self._controller, now))
        if on_control and self._client is not None:
            self._client.send(data, droppable=True)
        for connection in list(self._monitor.connections):
            connection.send(data, droppable=True)


def _pack(lines: list[str]) -> bytes:
    return ("\0".join(lines) + "\0").encode("ascii", "replace")
