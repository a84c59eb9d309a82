"""TCP server for protocols made of short text lines; lives in the I/O loop's thread."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from .io_loop import IoLoop, listen

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Connection:
    """One client.

    Attributes:
        peer: address and port of the client, for messages.
        open: False once closed by either side.
        dropped: messages not queued because the client does not read.
    """

    def __init__(self, server: LineServer, sock: socket.socket) -> None:
        host, port = sock.getpeername()
        self.peer = f"{host}:{port}"
        self.open = True
        self.dropped = 0
        self._server, self._socket = server, sock
        self._received, self._waiting = bytearray(), bytearray()

    def send(self, data: bytes, droppable: bool = False) -> None:
        """Send, or keep what the socket does not take; droppable data is not kept for a client that stopped reading."""
        if not self.open:
            return
        if self._waiting:
            if droppable and len(self._waiting) > self._server.max_waiting:
                self.dropped += 1
                return
            self._waiting += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._waiting += data[sent:]
            self._server.loop.watch(self._socket, READ | WRITE, self._ready)

    def close(self) -> None:
        """Close; the server's on_close hears of it once."""
        if not self.open:
            return
        self.open = False
        self._server.loop.unwatch(self._socket)
        self._socket.close()
        self._server.forget(self)

    def _ready(self, events: int) -> None:
        if events & WRITE and self._waiting:
            waiting, self._waiting = self._waiting, bytearray()
            self._server.loop.watch(self._socket, READ, self._ready)
            self.send(bytes(waiting))
        if events & READ and self.open:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        for delimiter in self._server.delimiters[1:]:
            self._received = self._received.replace(delimiter, self._server.delimiters[0])
        *lines, rest = self._received.split(self._server.delimiters[0])
        self._received = bytearray(rest)
        for line in lines:
            if self.open:
                self._server.on_line(self, line.decode("utf-8", "replace").strip())
        if len(self._received) > self._server.max_line:
            self._received.clear()
            self._server.on_too_long(self)


class LineServer:
    """Accepts clients and splits what they send into lines.

    Attributes:
        connections: clients connected now.
        refuse: while True new clients are closed at once.
    """

    def __init__(
        self,
        loop: IoLoop,
        host: str,
        port: int,
        on_line: Callable[[Connection, str], None],
        on_too_long: Callable[[Connection], None],
        on_open: Callable[[Connection], None] = lambda _connection: None,
        on_close: Callable[[Connection], None] = lambda _connection: None,
        delimiters: tuple[bytes, ...] = (b"\n",),
        max_line: int = 65536,
        max_waiting: int = 65536,
    ) -> None:
        """Listen on host:port; callbacks run in the loop's thread.

        Raises:
            OSError: the address cannot be used.
        """
        self.loop, self.delimiters, self.max_line, self.max_waiting = loop, delimiters, max_line, max_waiting
        self.on_line, self.on_too_long, self.on_open, self.on_close = on_line, on_too_long, on_open, on_close
        self.connections: list[Connection] = []
        self.refuse = False
        self._listener = listen(host, port)
        loop.watch(self._listener, READ, self._accept)

    def close(self) -> None:
        """Stop listening and close every client."""
        self.loop.unwatch(self._listener)
        self._listener.close()
        self.close_clients()

    def close_clients(self) -> None:
        """Close every client, keep listening."""
        for connection in list(self.connections):
            connection.close()

    def forget(self, connection: Connection) -> None:
        """A client was closed."""
        self.connections.remove(connection)
        self.on_close(connection)

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if self.refuse:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, sock)
        self.connections.append(connection)
        self.loop.watch(sock, READ, connection._ready)
        self.on_open(connection)
