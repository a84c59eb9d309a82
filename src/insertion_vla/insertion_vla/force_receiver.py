"""UDP datagrams of the force sensor: received in a raw thread, decoded, ordered, stamped with our clock."""

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from insertion_vla_core.clock import ClockOffset
from insertion_vla_core.wire.force_udp import ForceDecoder

TIMEOUT_S = 0.05  # how long a quiet socket is waited on before the thread looks at the stop flag
LATE_RUN = 8  # so many late samples in a row: not a network that reorders, but a sender's clock that was set back
CLOCK_STEP_S = 0.5  # sender and local time apart by more than this between two samples: a clock was set
SO_RCVBUFFORCE = 33  # Linux; the socket module has no name for it


@dataclass
class Statistics:
    """Counts since the receiver was opened."""

    received: int = 0  # samples handed on
    lost: int = 0  # samples missing by the gaps in the sender's stamps
    late: int = 0  # duplicates and samples overtaken by newer ones: dropped
    foreign: int = 0  # datagrams from other senders: dropped
    gaps: int = 0  # how often at least one sample was missing
    longest_gap_s: float = 0.0
    clock_steps: int = 0


class SampleOrder:
    """Keeps samples in the order of the sender's stamps and counts what is missing."""

    def __init__(self, rate_hz: float, statistics: Statistics) -> None:
        self.period_s = 1.0 / rate_hz
        self.statistics = statistics
        self._stamp_s = self._receive_s = float("nan")
        self._late_run = 0

    def accept(self, stamp_s: float, receive_s: float) -> bool:
        """Whether the sample is newer than all before it; receive_s on a steady clock."""
        gap_s = stamp_s - self._stamp_s
        count = self.statistics
        if abs(gap_s - (receive_s - self._receive_s)) > CLOCK_STEP_S or self._late_run >= LATE_RUN:
            count.clock_steps += 1
        elif gap_s <= 0.0:
            count.late += 1
            self._late_run += 1
            return False
        elif gap_s > 1.5 * self.period_s:
            count.lost += round(gap_s / self.period_s) - 1
            count.gaps += 1
            count.longest_gap_s = max(count.longest_gap_s, gap_s)
        self._stamp_s, self._receive_s, self._late_run = stamp_s, receive_s, 0
        count.received += 1
        return True


class ForceReceiver:
    """One UDP socket and the thread that drains it.

    ``on_sample(stamp_ns, receive_ns, record)`` is called in that thread for every new sample, ``on_quiet()`` when none
    came for 50 ms. ``record`` is a view into a reused buffer: copy what is kept.
    """

    def __init__(
        self,
        address: tuple[str, int],
        sender: str,
        buffer_bytes: int,
        rate_hz: float,
        on_sample: Callable[[int, int, np.void], None],
        on_quiet: Callable[[], None],
        on_crash: Callable[[str], None],
    ) -> None:
        self.address, self.sender, self.buffer_bytes = address, sender, buffer_bytes
        self.statistics = Statistics()
        self.decoder = ForceDecoder()
        self.clock = ClockOffset()
        self.granted_bytes = 0
        self.newest_s = float("nan")  # steady time of the newest sample
        self._order = SampleOrder(rate_hz, self.statistics)
        self._on_sample, self._on_quiet, self._on_crash = on_sample, on_quiet, on_crash
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def open(self) -> None:
        """Bind the socket and ask for the receive buffer.

        Raises:
            OSError: the address cannot be bound; the sentence names it.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
        with contextlib.suppress(PermissionError):  # beyond net.core.rmem_max, for those who may
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, self.buffer_bytes)
        # Linux reports twice what it grants: half is its own book-keeping.
        self.granted_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        self._socket.settimeout(TIMEOUT_S)
        try:
            self._socket.bind(self.address)
        except OSError as error:
            self.close()
            host, port = self.address
            raise OSError(
                f"cannot bind UDP {host}:{port} for the force sensor: {error.strerror}; is another force_sensor node "
                "running, or is the address not one of this machine's?"
            ) from None

    def start(self) -> None:
        """Drop what has piled up and begin to receive."""
        assert self._socket is not None
        self._socket.setblocking(False)
        scrap = bytearray(1)
        try:
            while True:
                self._socket.recv_into(scrap)
        except BlockingIOError:
            self._socket.settimeout(TIMEOUT_S)
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="force", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the socket stays bound."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def close(self) -> None:
        """Close the socket; may be called twice."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _run(self) -> None:
        try:
            self._receive()
        except Exception as error:
            self._on_crash(f"the force receiver ended: {type(error).__name__}: {error}\n{traceback.format_exc()}")

    def _receive(self) -> None:
        assert self._socket is not None
        buffer = bytearray(1 << 16)  # the largest UDP datagram
        view = memoryview(buffer)
        receive, feed, accept = self._socket.recvfrom_into, self.decoder.feed, self._order.accept
        clock, sender, statistics, on_sample = self.clock, self.sender, self.statistics, self._on_sample
        wall_ns, steady_s, stopped = time.time_ns, time.monotonic, self._stop.is_set
        while not stopped():
            try:
                size, origin = receive(buffer)
            except TimeoutError:
                self._on_quiet()
                continue
            receive_ns, receive_s = wall_ns(), steady_s()
            if origin[0] != sender:
                statistics.foreign += 1
                continue
            records = feed(view[:size])
            if not len(records):
                continue
            clock.update(float(records[-1]["send_timestamp"]), receive_ns * 1e-9)
            for record in records:
                stamp_s = float(record["timestamp"])
                if accept(stamp_s, receive_s):
                    self.newest_s = receive_s
                    on_sample(round(clock.to_local_s(stamp_s) * 1e9), receive_ns, record)
